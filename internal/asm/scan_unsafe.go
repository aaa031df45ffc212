//go:build amd64 && !purego

package asm

import "unsafe"

// scanBlocks is the argument of the kernels that scan counters, gatherBlocks of those that gather, and its result. Their layout is known to
// gen/. See noescape in lanes_unsafe.go for what makes the pointers sound.
type scanBlocks struct {
	cells            unsafe.Pointer // the first block's first slot, in the first column
	stride, cols     uint64         // bytes; at least one
	base, next, open unsafe.Pointer
	seen, present    unsafe.Pointer
	words            uint64 // of present, at least one
	now              uint64 // the low 16 bits
}

type gatherBlocks struct {
	to, from, rows unsafe.Pointer
	blocks         uint64 // of 16 rows, at least one; then: not done, because the next one has a row above limit
	limit          uint64
	zeros          [4]uint64
}

// blocks is the pass over n words of Present from the given one on.
func (s *Scan) blocks(from, n int) scanBlocks {
	i := from * 64
	return scanBlocks{
		cells: pointer(s.Cells[i:]), stride: uint64(s.Stride) * 8, cols: uint64(s.Cols),
		base: pointer(s.Base[i:]), next: pointer(s.Next[i:]), open: pointer(s.Open[i:]), seen: pointer(s.Seen[i:]),
		present: pointer(s.Present[from:]), words: uint64(n), now: uint64(s.Now),
	}
}

// newGatherBlocks gathers the first n rows, at least 16.
func newGatherBlocks(dst, from []uint64, rows []uint32, n int) gatherBlocks {
	_, _ = dst[:n], rows[:n]
	return gatherBlocks{to: pointer(dst), from: pointer(from), rows: pointer(rows), blocks: uint64(n / 16), limit: uint64(min(len(from), 1<<32) - 1)}
}

func pointer[T any](s []T) unsafe.Pointer { return noescape(unsafe.Pointer(unsafe.SliceData(s))) }

// sizeOf is the number of bytes of s.
func sizeOf[T any](s []T) int { return len(s) * int(unsafe.Sizeof(*new(T))) }
