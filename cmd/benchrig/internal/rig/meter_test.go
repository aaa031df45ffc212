package rig

import (
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

// A boundary that parts the first burst makes two windows of new keys: neither is a steady seal.
func TestNewKeysAreShownApart(t *testing.T) {
	spec, err := workload.ByName("w3")
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{s: &session{set: &Settings{Spec: spec, Cold: true}, res: &result.Result{}}, perSlice: hdrhistogram.New(1, int64(time.Hour), 2)}
	seals := func(rows uint64, seconds, slices float64) {
		now := reading{rows: rows}
		m.sealed(&now, scrape{value: map[string]float64{"accounting_seal_cpu_seconds_total": seconds, "accounting_sealed_slices_total": slices}})
		m.last = now
	}
	seals(80_000, 0.1, 40)    // the window ended within the burst
	seals(200_000, 0.1, 40)   // nothing was sealed
	seals(200_000, 0.4, 100)  // the rest of the burst
	seals(400_000, 0.41, 200) // its keys are known
	if got := m.s.res.Seal.First; got != 4000 {
		t.Errorf("new keys: got %v µs a slice, want 4000", got)
	}
	if n, most := m.perSlice.TotalCount(), m.perSlice.Max(); n != 100 || most > 110_000 {
		t.Errorf("steady: got %d slices, at most %d ns, want 100 of 100 µs", n, most)
	}
}
