package pipeline

import (
	"encoding/binary"
	"slices"
)

// radixLeast is the number of entries from which the radix passes beat the comparison sort.
// Measured with BenchmarkSortEntries.
const radixLeast = 256

// sortEntries sorts by (namespace, subject): two least-significant-digit radix passes over the 22 top varying bits, then an insertion sort that
// repairs what those bits could not tell apart. Ids crafted to agree in those bits would make the insertion quadratic, so it counts its moves and past
// a linear budget hands over to a comparison sort: never worse than n log n. scratch is kept by the caller for the next call.
func sortEntries(e []orderEntry, scratch *[]orderEntry) {
	if len(e) < radixLeast {
		slices.SortFunc(e, compareEntries)
		return
	}
	shift := topVaryingBits(e)
	if cap(*scratch) < len(e) {
		*scratch = make([]orderEntry, len(e))
	}
	tmp := (*scratch)[:len(e)]
	const radix = 1 << 11
	var lo, hi [radix]uint32
	for i := range e {
		d := shift.digit(&e[i])
		lo[d&(radix-1)]++
		hi[d>>11]++
	}
	var a, b uint32
	for i := range lo {
		a, lo[i] = a+lo[i], a
		b, hi[i] = b+hi[i], b
	}
	for i := range e {
		d := shift.digit(&e[i]) & (radix - 1)
		tmp[lo[d]] = e[i]
		lo[d]++
	}
	for i := range tmp {
		d := shift.digit(&tmp[i]) >> 11
		e[hi[d]] = tmp[i]
		hi[d]++
	}
	if !insertionSort(e, 8*len(e)) {
		slices.SortFunc(e, compareEntries)
	}
}

// digitShift says where in the 160-bit sort key (namespace, subject) the 22 bits of the radix digit lie.
type digitShift struct {
	word  int  // 32-bit word of the key in which the highest varying bit lies, 0 to 4
	shift uint // right shift of the 64 bits that begin at word
}

func keyWord(e *orderEntry, w int) uint64 {
	switch {
	case w == 0:
		return uint64(e.ns)
	case w <= 4:
		return uint64(binary.BigEndian.Uint32(e.subject[4*(w-1):]))
	}
	return 0
}

func (s digitShift) digit(e *orderEntry) uint32 {
	return uint32((keyWord(e, s.word)<<32|keyWord(e, s.word+1))>>s.shift) & (1<<22 - 1)
}

// topVaryingBits finds the highest bit in which two entries differ and puts the digit right below it.
func topVaryingBits(e []orderEntry) digitShift {
	for w := range 5 {
		first, differ := keyWord(&e[0], w), uint64(0)
		for i := 1; i < len(e); i++ {
			differ |= keyWord(&e[i], w) ^ first
		}
		if differ == 0 {
			continue
		}
		top := uint(0) // position of the highest differing bit within the 64 bits that begin at w
		for b := uint(32); b > 0; b-- {
			if differ>>(b-1)&1 != 0 {
				top = 32 + b
				break
			}
		}
		return digitShift{w, max(top, 22) - 22}
	}
	return digitShift{4, 32}
}

// insertionSort sorts e if that takes at most budget moves, and reports whether it did.
func insertionSort(e []orderEntry, budget int) bool {
	for i := 1; i < len(e); i++ {
		if compareEntries(e[i-1], e[i]) <= 0 {
			continue
		}
		v, j := e[i], i
		for j > 0 && compareEntries(e[j-1], v) > 0 {
			e[j] = e[j-1]
			j--
			budget--
		}
		e[j] = v
		if budget < 0 {
			return false
		}
	}
	return true
}
