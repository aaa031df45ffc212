package canon

import "encoding/binary"

// RowKey is everything of an encoded row that stands before its inc: the array's header, ns and id, 19 to 23 bytes, then
// zeros, then in the last byte their number. It does not change from window to window, so a sealer that keeps a
// stream's keys in order writes each row with three stores and never reads the table again.
//
// RowKeys order as their rows do, compared as bytes: the shortest form of an integer is monotonic.
type RowKey [24]byte

// MakeRowKey encodes the key of a row.
func MakeRowKey(ns uint32, id ID) (k RowKey) {
	k.Set(ns, binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
	return k
}

// keyForms says, by uintClass of a namespace, what stands before the id, without the namespace itself, and in the first byte how many bits that is.
var keyForms = func() (t [33]uint64) {
	for i := range t {
		switch {
		case i <= 5:
			t[i] = 24<<56 | (majorArray|3)<<16
		case i <= 8:
			t[i] = 32<<56 | (majorArray|3)<<24 | 24<<16
		case i <= 16:
			t[i] = 40<<56 | (majorArray|3)<<32 | 25<<24
		default:
			t[i] = 56<<56 | (majorArray|3)<<48 | 26<<40
		}
		t[i] |= majorBytes | 16
	}
	return t
}()

// Set makes k the key of a row, whose id is given as a number in its high and its low word. Namespaces are as long as they like, row by row, so it has no
// branches: what stands before the id is 3, 4, 5 or 7 bytes, and the id is shifted to follow it. It writes to k where it lies, as copying what was just
// written in words waits for the stores.
func (k *RowKey) Set(ns uint32, hi, lo uint64) {
	form := keyForms[uintClass(uint64(ns))]
	before := uint(form>>56) & 63
	after := -before & 63 // at least 8, so that the form's first byte is shifted out
	binary.BigEndian.PutUint64(k[:], (form|uint64(ns)<<8)<<after|hi>>before)
	binary.BigEndian.PutUint64(k[8:], hi<<after|lo>>before)
	binary.BigEndian.PutUint64(k[16:], lo<<after|uint64(before/8+16))
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
func (k *RowKey) Compare(o *RowKey) int {
	for i := 0; i < len(k); i += 8 { // the last byte follows from the others
		if a, b := binary.BigEndian.Uint64(k[i:]), binary.BigEndian.Uint64(o[i:]); a < b {
			return -1
		} else if a > b {
			return 1
		}
	}
	return 0
}
