package canon

import "bytes"

// SealedSlice is one slice in its canonical bytes, with its digest. The zero value is no slice.
// It is immutable; a SealedSlice whose bytes belong to a pool says so where it is handed out.
type SealedSlice struct {
	bytes            []byte
	digest           Digest
	head             Head   // Prev points into bytes
	unitsLo, unitsHi uint64 // sum of the rows' Inc
	prev             int32  // offset of Prev's 32 bytes in bytes; 0 where nil
	rows             int32  // offset of the first row in bytes
	n                int32  // number of rows
}

// Bytes returns the canonical DAG-CBOR. The caller must not change it.
func (s SealedSlice) Bytes() []byte { return s.bytes }

// Digest returns the BLAKE3-256 of Bytes.
func (s SealedSlice) Digest() Digest { return s.digest }

// Head returns the slice's head. What its pointers point to lives as long as Bytes and must not be changed.
func (s SealedSlice) Head() Head { return s.head }

// Len returns the number of rows.
func (s SealedSlice) Len() int { return int(s.n) }

// IsZero reports whether s is the zero value, which is no slice.
func (s SealedSlice) IsZero() bool { return s.bytes == nil }

// Units returns the sum of the rows' Inc as 128 bits. It costs nothing.
func (s SealedSlice) Units() (lo, hi uint64) { return s.unitsLo, s.unitsHi }

// Clone returns s with its own copy of the bytes, for keeping a slice beyond the life of the memory that it views.
func (s SealedSlice) Clone() SealedSlice {
	s.bytes = bytes.Clone(s.bytes)
	s.point()
	return s
}

// point lets head.Prev point into bytes.
func (s *SealedSlice) point() {
	s.head.Prev = nil
	if s.prev != 0 {
		s.head.Prev = (*Digest)(s.bytes[s.prev : s.prev+32])
	}
}
