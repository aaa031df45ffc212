//go:build amd64 && !purego

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

// rowKernel is a pair of kernels that encode rows.
type rowKernel uint8

const (
	noRows rowKernel = iota
	rowsAVX512
	rowsVBMI2 // half the time, on processors that can move single bytes across a register
)

// rowKernels are the pairs that can run in this process.
func rowKernels() []rowKernel {
	ks := []rowKernel{noRows}
	if cpufeat.Available(cpufeat.AVX512) {
		ks = append(ks, rowsAVX512)
	}
	if have, _ := cpufeat.VBMI2(); have {
		ks = append(ks, rowsVBMI2)
	}
	return ks
}

// bestRows is the one that is used: there is none for the narrower paths.
var bestRows = func() rowKernel {
	if cpufeat.Selected() != cpufeat.AVX512 {
		return noRows
	}
	ks := rowKernels()
	return ks[len(ks)-1]
}()

// vectorRows says how many of n rows are for the kernels: the last one never is, because they read a little beyond a row.
func vectorRows(k rowKernel, n int) int {
	if k == noRows {
		return 0
	}
	return max(n-1, 0) / rowBlock * rowBlock
}

// EncodeKeys encodes rows of encoded keys, as many from the first on as this CPU has a fast way for, which may be none. It returns how many,
// the bytes that they take at the front of dst, and what they add up to. dst must have MaxRow bytes for each of keys: what lies behind
// the bytes returned is overwritten. A key is 19 to 23 bytes, the first of them not 0, then zeros, then in byte 23 their number. Rows without
// units take no bytes.
func EncodeKeys[K ~[24]byte](dst []byte, keys []K, incs []uint64) (done, size int, t RowTally) {
	return encodeKeys(bestRows, dst, keys, incs)
}

func encodeKeys[K ~[24]byte](k rowKernel, dst []byte, keys []K, incs []uint64) (done, size int, t RowTally) {
	if done = vectorRows(k, len(keys)); done == 0 {
		return 0, 0, t
	}
	r := keyRows(dst, keys, incs, done)
	if k == rowsVBMI2 {
		compressKeysVBMI2(&r)
	} else {
		encodeKeysAVX512(&r)
	}
	return done, r.size(dst), r.tally()
}

// EncodeRows is EncodeKeys for rows of 32 bytes: a uint32 at 0, the 16 bytes of the id at 4, a uint64 at 24.
func EncodeRows[R any](dst []byte, rows []R) (done, size int, t RowTally) {
	return encodeRows(bestRows, dst, rows)
}

func encodeRows[R any](k rowKernel, dst []byte, rows []R) (done, size int, t RowTally) {
	if done = vectorRows(k, len(rows)); done == 0 {
		return 0, 0, t
	}
	r := plainRows(dst, rows, done)
	if k == rowsVBMI2 {
		compressRowsVBMI2(&r)
	} else {
		encodeRowsAVX512(&r)
	}
	return done, r.size(dst), r.tally()
}
