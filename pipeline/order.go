package pipeline

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

// newRow is a row on its way into its stream's order: its key as integers, which compare as the key does.
type newRow struct {
	hi, lo  uint64 // the subject
	ns, row uint32
	stream  uint32
}

func (r *newRow) put(k *canon.RowKey) { k.Set(r.ns, r.hi, r.lo) }

func (r *newRow) compare(o *newRow) int {
	if c := cmp.Compare(r.ns, o.ns); c != 0 {
		return c
	}
	if c := cmp.Compare(r.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(r.lo, o.lo)
}

const (
	fewRows    = 16  // an insertion sort of so many is not worth avoiding
	someRows   = 512 // up to so many a pass over digit bits would be mostly over its counts
	digit      = 11  // bits of a pass over many rows: the counts of two stay in the cache
	mostPasses = 3   // over the same rows; then they are crafted, or might as well be
)

// orderer sorts; it keeps its scratch memory. Not for concurrent use.
type orderer struct {
	packed, tmp []uint64
	counts      [2][1 << digit]uint32
	runs        []run
}

// run is a part of what is sorted whose rows are still to be put in order.
type run struct{ from, to uint32 }

// sort sorts place, which holds numbers of rows, by their keys: 64 bits of each key, from the highest in which two differ, tell nearly all apart, so
// that it is integers that are sorted, each with its row's number in its last bits. They are sorted by their first bits, 22 of them in two passes where
// they are many, so that no branch depends on them; the runs that are the same there are few and short, and are sorted by insertion. A run of many rows
// is sorted in the same way by the bits in which its rows differ, to a fixed depth: ids crafted to fall together cost some passes more, then a
// comparison sort, never more than n log n.
func (o *orderer) sort(rows []newRow, place []uint32) {
	if len(place) <= fewRows {
		insertRows(rows, place)
		return
	}
	o.pass(rows, place, spreadOf(rows, place), 0)
}

// sortSpread is sort for rows whose spread is known.
func (o *orderer) sortSpread(rows []newRow, place []uint32, s spread) {
	if len(place) <= fewRows {
		insertRows(rows, place)
		return
	}
	o.pass(rows, place, s, 0)
}

func (o *orderer) pass(rows []newRow, place []uint32, s spread, depth int) {
	n := len(place)
	o.grow(n)
	packed := o.packed[:n]
	number := uint64(1)<<bits.Len(uint(len(rows)-1)) - 1
	s.pack(rows, place, packed, number)
	low := uint(64 - 2*digit)
	if n > someRows {
		o.radix(packed)
	} else {
		low = 64 - uint(bits.Len(uint(n-1))+1)
		packed = o.radixSome(packed, low)
	}
	base := len(o.runs)
	o.place(rows, place, packed, number, low)
	for i := base; i < len(o.runs); i++ {
		part := place[o.runs[i].from:o.runs[i].to]
		if depth+1 == mostPasses {
			slices.SortFunc(part, func(a, b uint32) int { return rows[a].compare(&rows[b]) })
		} else {
			o.pass(rows, part, spreadOf(rows, part), depth+1)
		}
	}
	o.runs = o.runs[:base]
}

// radix sorts v by its first two digits, the last of them first.
func (o *orderer) radix(v []uint64) {
	const first, last, mask = 64 - digit, 64 - 2*digit, 1<<digit - 1
	f, l := &o.counts[0], &o.counts[1]
	clear(f[:])
	clear(l[:])
	for _, x := range v {
		f[x>>first]++
		l[x>>last&mask]++
	}
	a, b := uint32(0), uint32(0)
	for i := range f {
		x, y := f[i], l[i]
		f[i], l[i] = a, b
		a, b = a+x, b+y
	}
	tmp := o.tmp[:len(v)]
	for _, x := range v {
		i := x >> last & mask
		at := l[i]
		l[i] = at + 1
		tmp[at] = x
	}
	for _, x := range tmp {
		i := x >> first
		at := f[i]
		f[i] = at + 1
		v[at] = x
	}
}

// radixSome returns v sorted from bit low on, in one pass.
func (o *orderer) radixSome(v []uint64, low uint) []uint64 {
	counts := o.counts[0][:1<<((64-low)&63)]
	low &= 63
	clear(counts)
	for _, x := range v {
		counts[x>>low]++
	}
	sum := uint32(0)
	for i, n := range counts {
		counts[i] = sum
		sum += n
	}
	tmp := o.tmp[:len(v)]
	for _, x := range v {
		i := x >> low
		at := counts[i]
		counts[i] = at + 1
		tmp[at] = x
	}
	return tmp
}

// place sets place to the rows' numbers in packed, which is sorted from bit low on, and sorts each run that is the same there, or adds it to runs.
func (o *orderer) place(rows []newRow, place []uint32, packed []uint64, number uint64, low uint) {
	place = place[:len(packed)]
	before := ^packed[0]
	for i := 0; i < len(packed); {
		x := packed[i]
		place[i] = uint32(x & number)
		i++
		if (x^before)>>(low&63) != 0 {
			before = x
			continue
		}
		from := i - 2
		for ; i < len(packed) && (packed[i]^x)>>(low&63) == 0; i++ {
			place[i] = uint32(packed[i] & number)
		}
		if i-from > fewRows {
			o.runs = append(o.runs, run{uint32(from), uint32(i)})
		} else {
			insertPacked(packed[from:i])
			for j, x := range packed[from:i] {
				place[from+j] = uint32(x & number)
			}
			mend(rows, place[from:i], packed[from:i], number)
		}
	}
}

// grow makes room for n.
func (o *orderer) grow(n int) {
	if cap(o.packed) < n {
		o.packed, o.tmp = make([]uint64, n+n/4), make([]uint64, n+n/4)
	}
}

// spread says where the keys of some rows differ.
type spread struct {
	least, most uint32 // namespaces
	hi, lo      uint64 // bits of subjects in which any differs from the first one
}

func spreadOf(rows []newRow, place []uint32) spread {
	first := &rows[place[0]]
	s := spread{least: first.ns, most: first.ns}
	for _, p := range place {
		r := &rows[p]
		s.least, s.most = min(s.least, r.ns), max(s.most, r.ns)
		s.hi |= r.hi ^ first.hi
		s.lo |= r.lo ^ first.lo
	}
	return s
}

// pack sets packed[i] to bits of row place[i]'s key, from the highest in which two of them differ on, and to the row's number in the bits of number.
func (s *spread) pack(rows []newRow, place []uint32, packed []uint64, number uint64) {
	packed = packed[:len(place)]
	switch {
	case s.least != s.most:
		// The codes of all begin with what those of the least and the greatest have in common.
		up := uint(bits.LeadingZeros64((&newRow{ns: s.least}).lead()^(&newRow{ns: s.most}).lead())) & 63
		for i, p := range place {
			packed[i] = rows[p].lead()<<up&^number | uint64(p)
		}
	case s.hi != 0:
		up := uint(bits.LeadingZeros64(s.hi)) & 63
		for i, p := range place {
			r := &rows[p]
			packed[i] = (r.hi<<up|r.lo>>1>>(63-up))&^number | uint64(p)
		}
	default:
		up := uint(bits.LeadingZeros64(s.lo)) & 63 // 0 where they are all the same
		for i, p := range place {
			packed[i] = rows[p].lo<<up&^number | uint64(p)
		}
	}
}

// lead is the start of the key in a code that keeps its order and spends few bits on the zeros of a small namespace: the length of ns in bits, ns without
// its first one, the subject.
func (r *newRow) lead() uint64 {
	l := uint(bits.Len32(r.ns))
	return uint64(l)<<58 | uint64(r.ns)<<((64-l)&63)<<1>>6 | r.hi>>((5+max(l, 1))&63)
}

// insertPacked sorts a few.
func insertPacked(v []uint64) {
	for i := 1; i < len(v); i++ {
		x := v[i]
		j := i
		for ; j > 0 && v[j-1] > x; j-- {
			v[j] = v[j-1]
		}
		v[j] = x
	}
}

// mend sorts the runs of place whose packed bits were the same; each is within a bucket, and short.
func mend(rows []newRow, place []uint32, packed []uint64, number uint64) {
	for i := 1; i < len(packed); i++ {
		if packed[i-1]^packed[i] > number {
			continue
		}
		from := i - 1
		for i++; i < len(packed) && packed[i-1]^packed[i] <= number; i++ {
		}
		insertRows(rows, place[from:i])
	}
}

// insertRows sorts a few.
func insertRows(rows []newRow, place []uint32) {
	for i := 1; i < len(place); i++ {
		x := place[i]
		r := &rows[x]
		j := i
		for ; j > 0 && rows[place[j-1]].compare(r) > 0; j-- {
			place[j] = place[j-1]
		}
		place[j] = x
	}
}
