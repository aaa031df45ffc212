//go:build amd64 && !purego

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

// vectorRows says how many of n rows are for the kernels: the last one never is, because they read a little beyond a row.
func vectorRows(p cpufeat.Path, n int) int {
	if p != cpufeat.AVX512 {
		return 0
	}
	return max(n-1, 0) / rowBlock * rowBlock
}

// EncodeKeys encodes rows of encoded keys, as many from the first on as this CPU has a fast way for, which may be none. It returns how many,
// the bytes that they take at the front of dst, and what they add up to. dst must have MaxRow bytes for each of keys: what lies behind
// the bytes returned is overwritten. A key is 19 to 23 bytes, then zeros, then in byte 23 their number. Rows without units take no bytes.
func EncodeKeys[K ~[24]byte](dst []byte, keys []K, incs []uint64) (done, size int, t RowTally) {
	if done = vectorRows(cpufeat.Selected(), len(keys)); done == 0 {
		return 0, 0, t
	}
	r := keyRows(dst, keys, incs, done)
	encodeKeysAVX512(&r)
	return done, r.size(dst), r.tally()
}

// EncodeRows is EncodeKeys for rows of 32 bytes: a uint32 at 0, the 16 bytes of the id at 4, a uint64 at 24.
func EncodeRows[R any](dst []byte, rows []R) (done, size int, t RowTally) {
	if done = vectorRows(cpufeat.Selected(), len(rows)); done == 0 {
		return 0, 0, t
	}
	r := plainRows(dst, rows, done)
	encodeRowsAVX512(&r)
	return done, r.size(dst), r.tally()
}
