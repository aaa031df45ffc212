package adapter

import (
	"sync"

	"github.com/ron-accounting/ron-accounting/canon"
)

// buffer is a body's memory, of one of the sizes below. It has one owner at a time, who gives it back with free.
type buffer struct {
	b     []byte // len is what is filled
	class int
}

// sizes are the capacities; the last holds one byte more than any body may have, so that too much is seen.
var sizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, canon.MaxBytes + 1}

var pools [len(sizes)]sync.Pool // of *buffer

// getBuffer returns an empty buffer of at least n bytes of capacity; n is at most the largest size.
func getBuffer(n int) *buffer {
	class := 0
	for class < len(sizes)-1 && sizes[class] < n {
		class++
	}
	if b, _ := pools[class].Get().(*buffer); b != nil {
		b.b = b.b[:0]
		return b
	}
	return &buffer{make([]byte, 0, sizes[class]), class}
}

func (b *buffer) free() { pools[b.class].Put(b) }

// grow moves to the next size and frees the old one; b is full.
func (b *buffer) grow() *buffer {
	g := getBuffer(sizes[b.class] + 1)
	g.b = append(g.b, b.b...)
	b.free()
	return g
}
