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

// Set makes k the key of a row, whose id is given as a number in its high and its low word. Namespaces are as long as they like, row by row, so it has no
// branches: what stands before the id is 3, 4, 5 or 7 bytes, and the id is shifted to follow it. It writes to k where it lies, as copying what was just
// written in words waits for the stores: 23 ns then, 3 so.
func (k *RowKey) Set(ns uint32, hi, lo uint64) {
	class := less(23, ns) + less(0xff, ns) + less(0xffff, ns)
	size := 1 << class >> 1 * 8                      // bits of ns behind its first byte: 0, 8, 16, 32
	info := uint64(class+23) & -uint64(less(23, ns)) // 24, 25, 26: ns follows
	before, after := (size+24)&63, (40-size)&63
	w := (majorArray|3)<<((size+16)&63) | (info<<(size&63)|uint64(ns))<<8 | majorBytes | 16
	binary.BigEndian.PutUint64(k[:], w<<after|hi>>before)
	binary.BigEndian.PutUint64(k[8:], hi<<after|lo>>before)
	binary.BigEndian.PutUint64(k[16:], lo<<after|uint64(before/8+16))
}

// less is 1 where a < b, else 0.
func less(a, b uint32) uint { return uint((uint64(a) - uint64(b)) >> 63) }

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
