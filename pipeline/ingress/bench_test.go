package ingress

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

// BenchmarkPut is what an accepted slice costs, made durable, with so many senders that each wait for their answer.
func BenchmarkPut(b *testing.B) {
	for _, senders := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("rows=1/senders=%d", senders), func(b *testing.B) {
			q, err := Open(Options{Dir: b.TempDir(), TenantShare: 1, Sink: export.Sink{Name: "null", Exporter: memory.New(memory.Options{}), Required: true}})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = stop(q) }()
			all := make([][]canon.SealedSlice, senders)
			for i := range all {
				all[i] = exporttest.NewChain(exporttest.Stream("bench", i), 1).Take(b.N/senders + 1)
			}
			var n atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range all {
				wg.Go(func() {
					for _, s := range all[i] {
						if n.Add(1) > int64(b.N) {
							return
						}
						if _, err := put(q, s); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "slices/s")
		})
	}
}
