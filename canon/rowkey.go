package canon

import (
	"bytes"
	"encoding/binary"
)

// RowKey is everything of an encoded row that stands before its inc: the array's header, ns and id, 19 to 23 bytes, then
// zeros, then in the last byte their number. It does not change from window to window, so a sealer that keeps a
// stream's keys in order writes each row with three stores and never reads the table again.
//
// RowKeys order as their rows do, compared as bytes: the shortest form of an integer is monotonic.
type RowKey [24]byte

// MakeRowKey encodes the key of a row.
func MakeRowKey(ns uint32, id ID) (k RowKey) {
	b := AppendUint(append(k[:0], majorArray|3), uint64(ns))
	b = append(append(b, majorBytes|16), id[:]...)
	k[23] = byte(len(b))
	return k
}

// Namespace returns the row's namespace.
func (k *RowKey) Namespace() uint32 {
	switch k[23] {
	case 19:
		return uint32(k[1])
	case 20:
		return uint32(k[2])
	case 21:
		return uint32(binary.BigEndian.Uint16(k[2:]))
	default:
		return binary.BigEndian.Uint32(k[2:])
	}
}

// Subject returns the row's subject.
func (k *RowKey) Subject() ID { return ID(k[k[23]-16:]) }

// Compare orders keys as a slice orders its rows: by namespace, then by subject.
func (k *RowKey) Compare(o *RowKey) int { return bytes.Compare(k[:23], o[:23]) }
