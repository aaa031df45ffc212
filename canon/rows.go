package canon

import (
	"encoding/binary"
	"iter"
)

// Row is one counter of a slice: Inc units of the slice's tenant and dimension on an object.
type Row struct {
	Namespace uint32
	Subject   ID
	Inc       uint64 // at least 1
}

// Compare orders rows as a slice does: by Namespace, then by Subject as a big-endian number. Inc does not count.
func (r *Row) Compare(o *Row) int {
	switch {
	case r.Namespace != o.Namespace:
		if r.Namespace < o.Namespace {
			return -1
		}
		return 1
	default:
		return r.Subject.Compare(o.Subject)
	}
}

// Rows yields the rows in their order, from 0. It does not allocate.
func (s SealedSlice) Rows() iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		b := s.bytes[s.rows:]
		var r Row
		for i := range int(s.n) {
			b = readRow(b, &r)
			if !yield(i, r) {
				return
			}
		}
	}
}

// readRow reads the row at the beginning of b, which has been decoded before, and returns what follows it.
func readRow(b []byte, r *Row) []byte {
	ns, n := readUint(b[1:])
	r.Namespace = uint32(ns)
	b = b[n+2:]
	r.Subject = ID(b[:16])
	r.Inc, n = readUint(b[16:])
	return b[16+n:]
}

// readUint reads an integer that has been decoded before, and its size.
func readUint(b []byte) (v uint64, n int) {
	switch c := b[0]; c {
	case 24:
		return uint64(b[1]), 2
	case 25:
		return uint64(binary.BigEndian.Uint16(b[1:])), 3
	case 26:
		return uint64(binary.BigEndian.Uint32(b[1:])), 5
	case 27:
		return binary.BigEndian.Uint64(b[1:]), 9
	default:
		return uint64(c), 1
	}
}
