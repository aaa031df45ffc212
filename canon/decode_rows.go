package canon

import (
	"encoding/binary"
	"math/bits"
)

// uintForm says how an integer goes on after its first byte.
type uintForm struct {
	least uint64 // below it a shorter form exists
	width uint8  // bytes in all; 0: no integer
	shift uint8  // of the eight bytes behind the first one, to the right
	mask  uint8  // of the first byte: what it holds of the value itself
}

// uintForms is indexed by an item's first byte.
var uintForms = func() (f [256]uintForm) {
	for i := range 24 {
		f[i] = uintForm{width: 1, shift: 64, mask: 0xff}
	}
	f[24] = uintForm{width: 2, shift: 56, least: 24}
	f[25] = uintForm{width: 3, shift: 48, least: 1 << 8}
	f[26] = uintForm{width: 5, shift: 32, least: 1 << 16}
	f[27] = uintForm{width: 9, shift: 0, least: 1 << 32}
	return f
}()

// rowReach is how far the fast path may read from a row's first byte, also where that row turns out to be none:
// an ns of 9 bytes, then the rest of a row at its longest.
const rowReach = 1 + 9 + 17 + 9

// rows reads s.n rows and adds up their units. A row that is as it should be and is not at the very end of the bytes is
// read without a branch on its widths, which no predictor can learn; any other is read again by row, which finds the error.
func (c *cursor) rows(s *SealedSlice) {
	var lo, hi uint64               // units
	var lastNS, last1, last2 uint64 // key of the row before
	after := uint64(0)              // 1 behind the first row
	b, off := c.b, c.off
	for range s.n {
		var ns, id1, id2, inc uint64
		next, good := 0, false
		if p := b[off:]; len(p) >= rowReach {
			p := (*[rowReach]byte)(p)
			first := binary.BigEndian.Uint64(p[:])
			f := &uintForms[p[1]]
			ns = first<<16>>f.shift | uint64(p[1]&f.mask)
			at := 1 + int(f.width)
			good = p[0] == majorArray|3 && f.width-1 < 5 && ns >= f.least
			q := (*[26]byte)(p[at:])
			id1, id2 = binary.BigEndian.Uint64(q[1:]), binary.BigEndian.Uint64(q[9:])
			f = &uintForms[q[17]]
			inc = binary.BigEndian.Uint64(q[18:])>>f.shift | uint64(q[17]&f.mask)
			good = good && q[0] == majorBytes|16 && f.width != 0 && inc >= max(f.least, 1)
			next = off + at + 17 + int(f.width)
		}
		if !good {
			var r Row
			c.off = off
			c.row(&r)
			if c.err != nil {
				return
			}
			ns, id1, id2, inc = uint64(r.Namespace), binary.BigEndian.Uint64(r.Subject[:]), binary.BigEndian.Uint64(r.Subject[8:]), r.Inc
			next = c.off
		}
		_, less := bits.Sub64(last2, id2, 0)
		_, less = bits.Sub64(last1, id1, less)
		_, less = bits.Sub64(lastNS, ns, less)
		if less < after {
			c.fail(off, RuleRowOrder)
			return
		}
		lastNS, last1, last2, after = ns, id1, id2, 1
		var carry uint64
		lo, carry = bits.Add64(lo, inc, 0)
		hi += carry
		off = next
	}
	c.off, s.unitsLo, s.unitsHi = off, lo, hi
}

// row reads one row, carefully.
func (c *cursor) row(r *Row) {
	at := c.off
	if n, ok := c.arg(majorArray, RuleRow); ok && n != 3 {
		c.fail(at, RuleRow)
	}
	var ns uint64
	if at = c.off; c.uint(&ns) && ns>>32 != 0 {
		c.fail(at, RuleNamespace)
	}
	r.Namespace = uint32(ns)
	c.id(&r.Subject)
	if at = c.off; c.uint(&r.Inc) && r.Inc == 0 {
		c.fail(at, RuleInc)
	}
}
