package asm

import (
	"syscall"
	"testing"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"

	"github.com/zeebo/blake3"
)

// fenced returns n pages between two that can't be touched.
func fenced(t *testing.T, n int) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	b, err := syscall.Mmap(-1, 0, (n+2)*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	for _, fence := range [][]byte{b[:page], b[(n+1)*page:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return b[page : (n+1)*page]
}

// TestUnreadableNeighbours hashes messages that end, or begin, where reading one
// byte more would kill the process.
func TestUnreadableNeighbours(t *testing.T) {
	b := fenced(t, 17)
	copy(b, randomBytes(len(b), 17))
	var ns []int
	for n := range 2100 {
		ns = append(ns, n)
	}
	for n := 2112; n <= len(b); n += blockLen {
		ns = append(ns, n-1, n)
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		for _, n := range ns {
			head, tail := b[:n], b[len(b)-n:]
			if v.Sum256(head) != blake3.Sum256(head) || v.Sum256(tail) != blake3.Sum256(tail) {
				t.Fatalf("%d bytes: wrong digest", n)
			}
			if v.Path != cpufeat.SSE41 && v.Kernel(tail) != blake3.Sum256(tail) {
				t.Fatalf("kernel, %d bytes: wrong digest", n)
			}
		}
		var msgs [][]byte
		for i := range 260 {
			msgs = append(msgs, b[len(b)-ns[i*37%len(ns)]:], b[:i*11])
		}
		checkMany(t, v, "fenced", msgs)
	})
}
