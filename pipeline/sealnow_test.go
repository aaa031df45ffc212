package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// TestSealNowAcrossBoundary: with New the slices of a window that ended since the last SealNow are handed over too. (They once were
// sealed by the rollover, counted as acked, and given to nobody.)
func TestSealNowAcrossBoundary(t *testing.T) {
	c := &fakeClock{wall: at(36000)}
	p, err := New(Options{Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	k := &Key{Tenant: canon.IDFromUint64(1), Subject: canon.IDFromUint64(2)}
	var all []canon.SealedSlice
	want := uint64(0)
	for i := range 5 {
		n := uint64(i + 1)
		if err := p.RecordSlow(k, n); err != nil {
			t.Fatal(err)
		}
		want += n
		if i > 0 {
			c.advance(time.Duration(i) * 200 * time.Second)
		}
		out, err := p.SealNow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out...)
	}
	got := uint64(0)
	for _, s := range all {
		for _, r := range s.Rows() {
			got += r.Inc
		}
	}
	if got != want {
		t.Errorf("handed over %d units in %d slices, recorded %d", got, len(all), want)
	}
	if err := canon.VerifyChain(all); err != nil {
		t.Error(err)
	}
}
