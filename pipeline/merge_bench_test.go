package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
)

// BenchmarkMerge takes 330 rows into an order of some times as many, as a burst of new keys that comes in batches does.
func BenchmarkMerge(b *testing.B) {
	const n = 330
	for _, times := range []int{0, 1, 3, 6, 12, 24, 100} {
		b.Run(fmt.Sprintf("old=%d", n*times), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(9, uint64(times)))
			var o orderer
			old, place := rowsOf("random", n*times, rng), make([]uint32, n*times)
			for i := range place {
				place[i] = uint32(i)
			}
			o.sort(old, place)
			var s stream
			s.merge(old, place)
			keys, numbers := slices.Clone(s.keys), slices.Clone(s.rows)
			s.keys, s.rows = make([]canon.RowKey, 0, n*(times+1)), make([]uint32, 0, n*(times+1))
			var in [16][]newRow
			var at [16][]uint32
			for i := range in {
				in[i], at[i] = rowsOf("random", n, rng), make([]uint32, n)
				for j := range at[i] {
					at[i][j] = uint32(j)
				}
				o.sort(in[i], at[i])
			}
			for i := 0; b.Loop(); i++ {
				s.keys, s.rows = append(s.keys[:0], keys...), append(s.rows[:0], numbers...)
				s.merge(in[i%len(in)], at[i%len(in)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}
