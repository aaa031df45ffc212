// Package peers holds the ways to count that this library is compared with, and this library's own, behind one shape: a loop
// over a sequence of key numbers, written out for each, so that no indirect call is measured.
package peers

import (
	"math/rand/v2"

	"github.com/ron-accounting/ron-accounting"
)

// Keys makes n distinct keys the way W2 does: 100 subjects a dimension, 3 dimensions a tenant. The same n gives the same keys.
func Keys(n int) []accounting.Key {
	keys := make([]accounting.Key, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var tenant accounting.ID
	for i := range keys {
		if i%300 == 0 {
			tenant = random(r)
		}
		keys[i] = accounting.Key{Tenant: tenant, Subject: random(r), Namespace: uint32(i % 4), Dimension: accounting.Dimension(i / 100 % 3)}
	}
	return keys
}

func random(r *rand.Rand) (id accounting.ID) {
	for i := range id {
		if i%8 == 0 {
			v := r.Uint64()
			for j := range 8 {
				id[i+j] = byte(v >> (8 * j))
			}
		}
	}
	return id
}

// SeqLen is the length of a sequence and Seqs their number: far more than a branch predictor remembers.
const (
	SeqLen = 1 << 15
	Seqs   = 16
)

// Sequences are key numbers to count, drawn anew by each sequence: one in five distinct keys gets four of five increments
// (hot: false), or every increment goes to key 0 (hot: true).
func Sequences(keys int, hot bool, seed uint64) [][]uint32 {
	r := rand.New(rand.NewPCG(seed, uint64(keys)))
	perm := r.Perm(keys) // the hot ones are not neighbours
	few := max(1, keys/5)
	out := make([][]uint32, Seqs)
	for i := range out {
		out[i] = make([]uint32, SeqLen)
		if hot {
			continue
		}
		for j := range out[i] {
			if r.IntN(5) > 0 {
				out[i][j] = uint32(perm[r.IntN(few)])
			} else {
				out[i][j] = uint32(perm[r.IntN(keys)])
			}
		}
	}
	return out
}
