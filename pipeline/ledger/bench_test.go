package ledger_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// One op is one window: a slice of each of so many streams, in batches as lanes send them, durable. p99-ms is a batch's.
func BenchmarkLedgerPut(b *testing.B) {
	for _, c := range []struct{ streams, rows, batch int }{
		{1, 1000, 1}, {3000, 100, 3000}, {3000, 100, 256}, {20000, 3, 4096},
	} {
		b.Run(fmt.Sprintf("streams=%d/rows=%d/batch=%d", c.streams, c.rows, c.batch), func(b *testing.B) {
			l, err := ledger.Open(filepath.Join(b.TempDir(), "l"), ledger.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			chains := make([]*exporttest.Chain, c.streams)
			for i := range chains {
				chains[i] = exporttest.NewChain(exporttest.Stream("bench", i), c.rows)
			}
			window := make([]canon.SealedSlice, c.streams)
			var took []time.Duration
			bytes := 0
			for b.Loop() {
				b.StopTimer()
				bytes = 0
				for i := range chains {
					window[i] = chains[i].Next()
					bytes += len(window[i].Bytes())
				}
				b.StartTimer()
				for part := range slices.Chunk(window, c.batch) {
					start := time.Now()
					for i, r := range l.PutBatch(context.Background(), part) {
						if r.Ack != export.AckOK {
							b.Fatal(i, r.Err)
						}
					}
					took = append(took, time.Since(start))
				}
			}
			b.SetBytes(int64(bytes))
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*50/100])/1e6, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}
