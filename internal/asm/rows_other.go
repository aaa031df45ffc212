//go:build !amd64 || purego

package asm

// EncodeKeys and EncodeRows have no fast way here: no row is encoded, see rows_amd64.go.

func EncodeKeys[K ~[24]byte](dst []byte, keys []K, incs []uint64) (done, size int, t RowTally) {
	return 0, 0, t
}

func EncodeRows[R any](dst []byte, rows []R) (done, size int, t RowTally) { return 0, 0, t }
