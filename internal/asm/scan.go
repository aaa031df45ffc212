package asm

import (
	"sync/atomic"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// Scan is one pass over the counters of a shard map: what each slot holds in all columns together goes to Next, what of that is not in Base to
// Open, and where that is not nothing, Now to Seen. Slots whose bit in Present is not set count as holding nothing; 64 of them in one word
// of Present are passed over.
//
// Cells are written to meanwhile, by others, a word at a time: a kernel's loads of aligned words, of whatever width, tear none.
type Scan struct {
	Present          []uint64 // a bit a slot, one word for each 64 of Base and the rest
	Cells            []uint64 // Cols columns, at least one, Stride words apart; 8-aligned
	Stride, Cols     int
	Base, Next, Open []uint64 // by slot, of one length
	Seen             []uint16
	Now              uint16
}

// Run makes the pass.
func (s *Scan) Run() { s.run(cpufeat.Selected()) }

func (s *Scan) run(p cpufeat.Path) {
	n := len(s.Base)
	_, _, _, _, _ = s.Present[:(n+63)/64], s.Next[:n], s.Open[:n], s.Seen[:n], s.Cells[(s.Cols-1)*s.Stride:][:n]
	for i := s.vector(p); i < (n+63)/64; i++ {
		s.word(i)
	}
}

// word is the reference: the 64 slots of one word of Present. Column by column, because most slots of a word have a row, and a bit's place is slow to find.
func (s *Scan) word(i int) {
	w := s.Present[i]
	if w == 0 {
		return
	}
	from, to := i*64, min(i*64+64, len(s.Base))
	var values [64]uint64
	v := values[:to-from]
	for col := range s.Cols {
		cells := s.Cells[col*s.Stride+from:][:len(v)]
		for j := range v {
			v[j] += atomic.LoadUint64(&cells[j])
		}
	}
	base, next, open, seen := s.Base[from:to], s.Next[from:to], s.Open[from:to], s.Seen[from:to]
	for j := range v {
		value := v[j] & -(w >> (j & 63) & 1)
		o := value - base[j]
		next[j], open[j] = value, o
		if o != 0 {
			seen[j] = s.Now
		}
	}
}

// Gather sets dst[i] to from[rows[i]] for every i and returns how many of them are 0. dst must be as long as rows. A row beyond from panics.
func Gather(dst, from []uint64, rows []uint32) (zeros int) {
	return gather(cpufeat.Selected(), dst, from, rows)
}

func gather(p cpufeat.Path, dst, from []uint64, rows []uint32) (zeros int) {
	dst = dst[:len(rows)]
	done, zeros := gatherVector(p, dst, from, rows)
	dst = dst[done:]
	for i, row := range rows[done:] {
		v := from[row]
		dst[i] = v
		if v == 0 {
			zeros++
		}
	}
	return zeros
}
