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
	fewRows     = 16 // an insertion sort of so many is not worth avoiding
	mostBuckets = 14 // bits of a pass: its counts stay in the cache
	mostPasses  = 3  // over the same rows; then they are crafted, or might as well be
)

// orderer sorts; it keeps its scratch memory. Not for concurrent use.
type orderer struct {
	packed, tmp []uint64
	counts      [mostPasses][]uint32
}

// sort sorts place, which holds numbers of rows, by their keys: 64 bits of each key, from the highest in which two differ, tell nearly all apart, so
// that it is integers that are sorted, each with its row's number in its last bits: into about as many buckets as there are rows, in one pass, and
// within the buckets by insertion. A bucket with many rows is sorted in the same way by the bits in which its rows differ, to a fixed depth:
// ids crafted to fall together cost some passes more, then a comparison sort, never more than n log n.
func (o *orderer) sort(rows []newRow, place []uint32) { o.pass(rows, place, 0) }

func (o *orderer) pass(rows []newRow, place []uint32, depth int) {
	n := len(place)
	if n <= fewRows {
		insertRows(rows, place)
		return
	}
	if depth == mostPasses {
		slices.SortFunc(place, func(a, b uint32) int { return rows[a].compare(&rows[b]) })
		return
	}
	o.grow(n)
	packed, tmp := o.packed[:n], o.tmp[:n]
	number := uint64(1)<<bits.Len(uint(len(rows)-1)) - 1
	pack(rows, place, packed, number)
	k := min(bits.Len(uint(n-1)), mostBuckets)
	if o.counts[depth] == nil {
		o.counts[depth] = make([]uint32, 1<<mostBuckets)
	}
	counts, shift := o.counts[depth][:1<<k], 64-uint(k)
	clear(counts)
	for _, v := range packed {
		counts[v>>shift]++
	}
	most, sum := uint32(0), uint32(0)
	for i, c := range counts {
		counts[i] = sum
		most, sum = max(most, c), sum+c
	}
	for _, v := range packed {
		at := &counts[v>>shift]
		tmp[*at] = v
		*at++
	}
	if most <= fewRows {
		insertPacked(tmp)
		for i, v := range tmp {
			place[i] = uint32(v & number)
		}
		mend(rows, place, tmp, number)
		return
	}
	for i, v := range tmp {
		place[i] = uint32(v & number)
	}
	from := uint32(0)
	for _, to := range counts { // each is now where its bucket ends
		if to > from {
			o.pass(rows, place[from:to], depth+1)
		}
		from = to
	}
}

// grow makes room for n.
func (o *orderer) grow(n int) {
	if cap(o.packed) < n {
		o.packed, o.tmp = make([]uint64, n+n/4), make([]uint64, n+n/4)
	}
}

// pack sets packed[i] to bits of row place[i]'s key, from the highest that varies on, and to the row's number in the bits of number.
func pack(rows []newRow, place []uint32, packed []uint64, number uint64) {
	first := &rows[place[0]]
	var ns uint32
	var hi, lo uint64
	for _, p := range place {
		r := &rows[p]
		ns |= r.ns ^ first.ns
		hi |= r.hi ^ first.hi
		lo |= r.lo ^ first.lo
	}
	switch {
	case ns != 0:
		first, differ := first.lead(), uint64(0)
		for i, p := range place {
			packed[i] = rows[p].lead()
			differ |= packed[i] ^ first
		}
		up := uint(bits.LeadingZeros64(differ)) & 63
		for i, p := range place {
			packed[i] = packed[i]<<up&^number | uint64(p)
		}
	case hi != 0:
		up := uint(bits.LeadingZeros64(hi)) & 63
		for i, p := range place {
			r := &rows[p]
			packed[i] = (r.hi<<up|r.lo>>1>>(63-up))&^number | uint64(p)
		}
	default:
		up := uint(bits.LeadingZeros64(lo)) & 63 // 0 where they are all the same
		for i, p := range place {
			packed[i] = rows[p].lo<<up&^number | uint64(p)
		}
	}
}

// lead is the start of the key in a code that keeps its order and spends few bits on the zeros of a small namespace: the length of ns in bits, ns without
// its first one, the subject.
func (r *newRow) lead() uint64 {
	l := uint(bits.Len32(r.ns))
	return uint64(l)<<58 | uint64(r.ns)<<(64-l)<<1>>6 | r.hi>>(5+max(l, 1))
}

// insertPacked sorts v, in which no element is more than fewRows from its place.
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
