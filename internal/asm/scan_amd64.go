//go:build amd64 && !purego && !race

package asm

import (
	"unsafe"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// A kernel can't be preempted, so it is given only so many words of Present, or rows, at a time: some microseconds' worth.
const (
	scanWords  = 64
	gatherRows = 4096
)

// vector makes the pass over the words of Present that this CPU has a fast way for, from the first on, and returns how many those are.
func (s *Scan) vector(p cpufeat.Path) (words int) {
	if p != cpufeat.AVX512 && p != cpufeat.AVX2 {
		return 0
	}
	all := len(s.Base) / 64
	for words < all {
		n := min(all-words, scanWords)
		b := s.blocks(words, n)
		scanCellsAVX2(&b)
		words += n
	}
	return words
}

// Prefetch asks for the memory of s, or the first bytes of it, which is read or written soon. It changes nothing.
func Prefetch[T any](s []T, bytes int) {
	if n := min(sizeOf(s), bytes) / 64; n > 0 {
		prefetchLinesAVX2(&gatherBlocks{from: pointer(s), blocks: uint64(n)})
	}
}

// PrefetchValue asks for the memory of *v, which is read or written soon. It changes nothing.
func PrefetchValue[T any](v *T) {
	prefetchLinesAVX2(&gatherBlocks{from: noescape(unsafe.Pointer(v)), blocks: uint64(unsafe.Sizeof(*v)+63) / 64})
}

// PrefetchWords asks for the words of from that Gather is soon asked for, or the first most of them. It changes nothing.
func PrefetchWords(from []uint64, rows []uint32, most int) {
	if n := min(len(rows), most) / 2; n > 0 {
		prefetchWordsAVX2(&gatherBlocks{from: pointer(from), rows: pointer(rows), blocks: uint64(n)})
	}
}

// gatherVector is gather for as many rows as this CPU has a fast way for. It stops before a row beyond from.
func gatherVector(p cpufeat.Path, dst, from []uint64, rows []uint32) (done, zeros int) {
	if p != cpufeat.AVX512 && p != cpufeat.AVX2 || len(from) == 0 {
		return 0, 0
	}
	for all := len(rows) / 16 * 16; done < all; {
		n := min(all-done, gatherRows)
		b := newGatherBlocks(dst[done:], from, rows[done:], n)
		gatherWordsAVX2(&b)
		for _, z := range b.zeros {
			zeros += int(z)
		}
		if b.blocks != 0 {
			return done + n - 16*int(b.blocks), zeros
		}
		done += n
	}
	return done, zeros
}
