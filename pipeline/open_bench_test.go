package pipeline

import (
	"context"
	"testing"
	"time"
)

// BenchmarkOpenPending is a start that finds 200,000 slices of 2,000 streams pending.
func BenchmarkOpenPending(b *testing.B) {
	l := &ledger{}
	l.set(errDown)
	o := macronode(b.TempDir())
	o.WAL.MaxBytes, o.WAL.SegmentBytes = 512<<20, 0
	o.PendingSlices, o.CapacityRows, o.DrainDeadline = 300_000, 4096, time.Millisecond
	p := open(b, o, l)
	for range 100 {
		for tenant := range uint64(2000) {
			p.count(b, tenant, 1, 1)
		}
		p.sealMu.Lock()
		_, err := p.seal(p.roll.cur, sealPart, nil)
		p.sealMu.Unlock()
		if err != nil {
			b.Fatal(err)
		}
	}
	_ = p.Close(context.Background())
	for b.Loop() {
		p := open(b, o, l)
		b.StopTimer()
		if n := p.Stats().PendingSlices; n != 200_000 {
			b.Fatalf("%d slices pending, want 200000", n)
		}
		_ = p.Close(context.Background())
		b.StartTimer()
	}
}
