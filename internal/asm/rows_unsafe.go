//go:build amd64 && !purego

package asm

import (
	"math/bits"
	"unsafe"
)

// rowBlocks is the argument of the kernels that encode rows, and their result. Its layout is known to gen/. See noescape in
// lanes_unsafe.go for what makes the pointers sound: it lives as long as the call, and kernels keep nothing.
type rowBlocks struct {
	dst, src, incs unsafe.Pointer // dst is moved behind what was written
	blocks         uint64         // of rowBlock rows, at least one
	ordered        uint64         // low 8 bits set: the rows ascend
	count, lo, hi  [rowBlock]uint64
}

const rowBlock = 8 // rows encoded at once

// tally adds up the lanes.
func (r *rowBlocks) tally() (t RowTally) {
	t.Ordered = r.ordered == 1<<rowBlock-1
	for i := range rowBlock {
		t.N += int(r.count[i])
		var carry uint64
		t.Units[0], carry = bits.Add64(t.Units[0], r.lo[i], 0)
		t.Units[1] += r.hi[i] + carry
	}
	return t
}

func newRowBlocks(dst []byte, src, incs unsafe.Pointer, n int) rowBlocks {
	_ = dst[:n*MaxRow]
	return rowBlocks{dst: noescape(unsafe.Pointer(unsafe.SliceData(dst))), src: noescape(src), incs: noescape(incs), blocks: uint64(n / rowBlock)}
}

// size is how much of dst was written.
func (r *rowBlocks) size(dst []byte) int {
	return int(uintptr(r.dst) - uintptr(unsafe.Pointer(unsafe.SliceData(dst))))
}

// keyRows prepares the first n rows of encoded keys.
func keyRows[K ~[24]byte](dst []byte, keys []K, incs []uint64, n int) rowBlocks {
	_, _ = keys[:n+1], incs[:n] // a kernel reads 16 bytes behind its last key
	return newRowBlocks(dst, unsafe.Pointer(unsafe.SliceData(keys)), unsafe.Pointer(unsafe.SliceData(incs)), n)
}

// plainRows prepares the first n rows of R.
func plainRows[R any](dst []byte, rows []R, n int) rowBlocks {
	if unsafe.Sizeof(rows[0]) != 32 {
		panic("accounting/asm: a row of another size") // a programmer's error, found by the first test
	}
	_ = rows[:n+1] // a kernel reads 4 bytes behind its last row
	return newRowBlocks(dst, unsafe.Pointer(unsafe.SliceData(rows)), nil, n)
}
