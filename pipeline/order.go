package pipeline

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

// orderEntry is a row that is to be sorted into its stream's order.
type orderEntry struct {
	key canon.RowKey
	row uint32
}

// word is the i-th of the key's six 32-bit words, the most significant first; 0 beyond them.
func (e *orderEntry) word(i int) uint64 {
	if i >= len(e.key)/4 {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(e.key[4*i:]))
}

func compareEntries(a, b orderEntry) int { return a.key.Compare(&b.key) }

// radixLeast is the number of entries from which the radix passes beat the comparison sort (BenchmarkSortEntries).
const radixLeast = 128

// orderer sorts entries; it keeps its scratch memory. Not for concurrent use.
type orderer struct{ tmp []orderEntry }

// sort sorts by key: two least-significant-digit radix passes over the 22 top varying bits, then an insertion sort that mends what those bits
// could not tell apart. Ids crafted to agree in those bits would make the insertion quadratic, so it counts its moves and, past a linear budget,
// hands over to a comparison sort: never worse than n log n.
func (o *orderer) sort(e []orderEntry) {
	if len(e) < radixLeast {
		slices.SortFunc(e, compareEntries)
		return
	}
	at := topVaryingBits(e)
	if cap(o.tmp) < len(e) {
		o.tmp = make([]orderEntry, len(e))
	}
	tmp := o.tmp[:len(e)]
	const radix = 1 << 11
	var lo, hi [radix]uint32
	for i := range e {
		d := at.digit(&e[i])
		lo[d%radix]++
		hi[d/radix]++
	}
	var a, b uint32
	for i := range lo {
		lo[i], a = a, a+lo[i]
		hi[i], b = b, b+hi[i]
	}
	for i := range e {
		d := at.digit(&e[i]) % radix
		tmp[lo[d]] = e[i]
		lo[d]++
	}
	for i := range tmp {
		d := at.digit(&tmp[i]) / radix
		e[hi[d]] = tmp[i]
		hi[d]++
	}
	if !insertionSort(e, 8*len(e)) {
		slices.SortFunc(e, compareEntries)
	}
}

// digitAt says where in a key the 22 bits of the radix digit lie.
type digitAt struct {
	word  int  // the 32-bit word in which the highest varying bit lies
	shift uint // right shift of the 64 bits that begin at word
}

func (d digitAt) digit(e *orderEntry) uint32 {
	return uint32((e.word(d.word)<<32|e.word(d.word+1))>>d.shift) & (1<<22 - 1)
}

// topVaryingBits finds the highest bit in which two entries differ and puts the digit right below it.
func topVaryingBits(e []orderEntry) digitAt {
	for w := range len(e[0].key) / 4 {
		first, differ := e[0].word(w), uint64(0)
		for i := 1; i < len(e); i++ {
			differ |= e[i].word(w) ^ first
		}
		if differ != 0 {
			return digitAt{w, uint(32 + bits.Len64(differ) - 22)} // at least 32+1-22 = 11
		}
	}
	return digitAt{}
}

// insertionSort sorts e if that takes at most about budget moves, and reports whether it did.
func insertionSort(e []orderEntry, budget int) bool {
	for i := 1; i < len(e); i++ {
		if compareEntries(e[i-1], e[i]) <= 0 {
			continue
		}
		v, j := e[i], i
		for ; j > 0 && budget >= 0 && compareEntries(e[j-1], v) > 0; j-- {
			e[j] = e[j-1]
			budget--
		}
		e[j] = v
		if budget < 0 {
			return false
		}
	}
	return true
}
