package pipeline

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
)

// entriesOf makes n distinct entries; kind chooses how their ids are spread.
func entriesOf(kind string, n int, rng *rand.Rand) []orderEntry {
	out := make([]orderEntry, n)
	for i := range out {
		var id canon.ID
		ns := uint32(1)
		switch kind {
		case "random":
			binary.BigEndian.PutUint64(id[:], rng.Uint64())
			binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		case "counter":
			id = canon.IDFromUint64(uint64(i))
		case "namespaces":
			ns = rng.Uint32()
			id = canon.IDFromUint64(uint64(i))
		case "crafted": // equal in the top varying bits but for two, so that the radix tells nothing apart
			binary.BigEndian.PutUint64(id[:], uint64(i&1)<<63)
			binary.BigEndian.PutUint64(id[8:], uint64(n-i))
		}
		out[i] = orderEntry{canon.MakeRowKey(ns, id), uint32(i)}
	}
	rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestOrderAgreesWithComparisonSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var o orderer
	for _, kind := range []string{"random", "counter", "namespaces", "crafted"} {
		for _, n := range []int{0, 1, 2, radixLeast - 1, radixLeast, 1000, 5000} {
			got := entriesOf(kind, n, rng)
			want := slices.Clone(got)
			slices.SortFunc(want, compareEntries)
			o.sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s %d: not sorted as by comparison", kind, n)
			}
		}
	}
}

func TestInsertionSortGivesUp(t *testing.T) {
	e := entriesOf("counter", 4096, rand.New(rand.NewPCG(3, 4)))
	if insertionSort(e, 8*len(e)) {
		t.Fatal("a shuffled input was sorted within a linear budget")
	}
}

func TestMergeKeepsOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	all := entriesOf("random", 3000, rng)
	var s stream
	var o orderer
	for len(all) > 0 {
		n := min(1+rng.IntN(400), len(all))
		s.fresh = append(s.fresh, all[:n]...)
		all = all[n:]
		s.settle(&o)
	}
	if len(s.keys) != 3000 || len(s.rows) != 3000 {
		t.Fatalf("%d keys, %d rows, want 3000", len(s.keys), len(s.rows))
	}
	for i := 1; i < len(s.keys); i++ {
		if s.keys[i-1].Compare(&s.keys[i]) >= 0 {
			t.Fatalf("keys %d and %d are out of order", i-1, i)
		}
	}
}

func BenchmarkSortEntries(b *testing.B) {
	for _, kind := range []string{"random", "counter", "crafted"} {
		for _, n := range []int{64, 128, 1024, 4096} {
			b.Run(fmt.Sprintf("ids=%s/rows=%d", kind, n), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(7, 8))
				in := make([][]orderEntry, 16) // rotated: the branch predictor learns a repeated one
				for i := range in {
					in[i] = entriesOf(kind, n, rng)
				}
				work := make([]orderEntry, n)
				var o orderer
				for i := 0; b.Loop(); i++ {
					copy(work, in[i%len(in)])
					o.sort(work)
				}
			})
		}
	}
}
