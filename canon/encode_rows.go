package canon

import (
	"encoding/binary"
	"math/bits"

	"github.com/ron-accounting/ron-accounting/internal/asm"
)

// rowOrder is the key of the last row seen, for the check that rows ascend, and what the rows seen add up to.
type rowOrder struct {
	ns, id1, id2 uint64 // the id as two big-endian words
	after        uint64 // 1 behind the first row
	wrong        uint64 // not 0: some row did not ascend
	lo, hi       uint64 // units
	n            int    // rows with units
}

// uintEncode says how an integer is written, by uintClass: bits 0-7 its first byte without a value, 8-15 the mask of what
// the first byte takes of the value, 16-23 the shift that brings the rest to the top of a word, 24-31 the width.
var uintEncode = func() (t [65]uint32) {
	for i := range t {
		switch {
		case i <= 5:
			t[i] = 1<<24 | 0xff<<8
		case i <= 8:
			t[i] = 2<<24 | 56<<16 | 24
		case i <= 16:
			t[i] = 3<<24 | 48<<16 | 25
		case i <= 32:
			t[i] = 5<<24 | 32<<16 | 26
		default:
			t[i] = 9<<24 | 27
		}
	}
	return t
}()

// uintClass is the bit length of v, but 6 for 24..31, so that it tells all widths apart: bit 5 is set if bits 3 and 4 are,
// which changes no other length.
func uintClass(v uint64) int { return bits.Len64(v | (v&(v<<1)&16)<<1) }

// A branch on a width costs more than the row where the widths are fresh: no predictor knows them. So every row is written
// at full length and only the step to the next one depends on the widths; what is too much is overwritten, or beyond the end.
// A row without units is a step of 0. Measured per 4096 rows of fresh widths, checks and sums included: rows 36 µs, keys 27; with
// the kernels of internal/asm, which take eight at a time where there is AVX-512, 21 and 13, where it can move single bytes (VBMI2) 8 and 8.

// appendRows checks, sums and writes rows to dst[off:], which has MaxRowSize bytes for each, and returns the offset behind them.
// What is written of rows in the wrong order is only good for being taken back.
func (o *rowOrder) appendRows(dst []byte, off int, rows []Row) int {
	done, size, t := asm.EncodeRows(dst[off:], rows)
	if done > 0 {
		o.seeRow(&rows[0])
		o.seeRow(&rows[done-1])
		o.add(&t)
		rows, off = rows[done:], off+size
	}
	o.rows(rows)
	return writeRows(dst, off, rows)
}

// appendKeys is appendRows for rows whose keys are encoded.
func (o *rowOrder) appendKeys(dst []byte, off int, keys []RowKey, incs []uint64) int {
	done, size, t := asm.EncodeKeys(dst[off:], keys, incs)
	if done > 0 {
		o.seeKey(&keys[0])
		o.seeKey(&keys[done-1])
		o.add(&t)
		keys, incs, off = keys[done:], incs[done:], off+size
	}
	o.keys(keys)
	o.incs(incs)
	return writeKeys(dst, off, keys, incs)
}

// add takes over what a kernel found, besides the place of its first and last row.
func (o *rowOrder) add(t *asm.RowTally) {
	if !t.Ordered {
		o.wrong = 1
	}
	var carry uint64
	o.lo, carry = bits.Add64(o.lo, t.Units[0], 0)
	o.hi += t.Units[1] + carry
	o.n += t.N
}

// writeKeys writes rows to dst[off:], which has MaxRowSize bytes for each, and returns the offset behind them. It leaves the
// order and the units to check and sum: separate loops spill less, and are faster than one.
func writeKeys(dst []byte, off int, keys []RowKey, incs []uint64) int {
	incs = incs[:len(keys)]
	for i := range keys {
		k, v := &keys[i], incs[i]
		p := (*[24]byte)(dst[off:])
		w0, w1, w2 := binary.LittleEndian.Uint64(k[:]), binary.LittleEndian.Uint64(k[8:]), binary.LittleEndian.Uint64(k[16:])
		binary.LittleEndian.PutUint64(p[:], w0) // words, because a copy of the array is a call
		binary.LittleEndian.PutUint64(p[8:], w1)
		binary.LittleEndian.PutUint64(p[16:], w2)
		size := int(w2 >> 56)
		t := uint64(uintEncode[uintClass(v)])
		q := (*[9]byte)(dst[off+size:])
		q[0] = byte(t | v&(t>>8))
		binary.BigEndian.PutUint64(q[1:], v<<(t>>16&63))
		step := size + int(t>>24)
		if v == 0 {
			step = 0
		}
		off += step
	}
	return off
}

// writeRows is writeKeys for rows whose keys are not encoded.
func writeRows(dst []byte, off int, rows []Row) int {
	for i := range rows {
		r := &rows[i]
		ns, v := uint64(r.Namespace), r.Inc
		id1, id2 := binary.LittleEndian.Uint64(r.Subject[:]), binary.LittleEndian.Uint64(r.Subject[8:])
		t := uint64(uintEncode[uintClass(ns)])
		p := (*[8]byte)(dst[off:])
		binary.BigEndian.PutUint64(p[:], (majorArray|3)<<56|uint64(byte(t|ns&(t>>8)))<<48|ns<<(t>>16&63)>>16)
		at := off + 1 + int(t>>24)
		q := (*[26]byte)(dst[at:])
		q[0] = majorBytes | 16
		binary.LittleEndian.PutUint64(q[1:], id1)
		binary.LittleEndian.PutUint64(q[9:], id2)
		t = uint64(uintEncode[uintClass(v)])
		q[17] = byte(t | v&(t>>8))
		binary.BigEndian.PutUint64(q[18:], v<<(t>>16&63))
		at += 17 + int(t>>24)
		if v == 0 {
			at = off
		}
		off = at
	}
	return off
}

// see takes note of one row's key.
func (o *rowOrder) see(ns, id1, id2 uint64) {
	_, less := bits.Sub64(o.id2, id2, 0)
	_, less = bits.Sub64(o.id1, id1, less)
	_, less = bits.Sub64(o.ns, ns, less)
	if less < o.after {
		o.wrong = 1
	}
	o.ns, o.id1, o.id2, o.after = ns, id1, id2, 1
}

// keys takes note of keys. Only the first and the last are taken apart; in between the encoded keys are compared as numbers.
func (o *rowOrder) keys(keys []RowKey) {
	if len(keys) == 0 {
		return
	}
	o.seeKey(&keys[0])
	ordered := uint64(1)
	p0, p1, p2 := keys[0].words()
	for i := 1; i < len(keys); i++ {
		w0, w1, w2 := keys[i].words()
		_, less := bits.Sub64(p2, w2, 0)
		_, less = bits.Sub64(p1, w1, less)
		_, less = bits.Sub64(p0, w0, less)
		ordered &= less
		p0, p1, p2 = w0, w1, w2
	}
	o.wrong |= ordered ^ 1
	if last := &keys[len(keys)-1]; len(keys) > 1 {
		id := last.Subject()
		o.ns, o.id1, o.id2 = uint64(last.Namespace()), binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])
	}
}

func (o *rowOrder) seeRow(r *Row) {
	o.see(uint64(r.Namespace), binary.BigEndian.Uint64(r.Subject[:]), binary.BigEndian.Uint64(r.Subject[8:]))
}

func (o *rowOrder) seeKey(k *RowKey) {
	id := k.Subject()
	o.see(uint64(k.Namespace()), binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:]))
}

// words returns k as one number of 192 bits, highest word first. Keys compare as these numbers: their length, in the last
// byte, differs only where an earlier byte does.
func (k *RowKey) words() (w0, w1, w2 uint64) {
	return binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:]), binary.BigEndian.Uint64(k[16:])
}

// incs takes note of units.
func (o *rowOrder) incs(incs []uint64) {
	lo, hi, n := o.lo, o.hi, o.n
	for _, v := range incs {
		var carry uint64
		lo, carry = bits.Add64(lo, v, 0)
		hi += carry
		one := 1
		if v == 0 {
			one = 0
		}
		n += one
	}
	o.lo, o.hi, o.n = lo, hi, n
}

// rows takes note of rows, keys and units.
func (o *rowOrder) rows(rows []Row) {
	ns0, p1, p2, after, wrong := o.ns, o.id1, o.id2, o.after, o.wrong
	lo, hi, n := o.lo, o.hi, o.n
	for i := range rows {
		r := &rows[i]
		ns, id1, id2 := uint64(r.Namespace), binary.BigEndian.Uint64(r.Subject[:]), binary.BigEndian.Uint64(r.Subject[8:])
		_, less := bits.Sub64(p2, id2, 0)
		_, less = bits.Sub64(p1, id1, less)
		_, less = bits.Sub64(ns0, ns, less)
		wrong |= after &^ less
		ns0, p1, p2, after = ns, id1, id2, 1
		var carry uint64
		lo, carry = bits.Add64(lo, r.Inc, 0)
		hi += carry
		one := 1
		if r.Inc == 0 {
			one = 0
		}
		n += one
	}
	o.ns, o.id1, o.id2, o.after, o.wrong = ns0, p1, p2, after, wrong
	o.lo, o.hi, o.n = lo, hi, n
}
