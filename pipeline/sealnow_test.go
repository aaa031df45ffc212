package pipeline

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
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

// TestFlushWithNew: what Flush and Close seal is not acked before SealNow has handed it over, in this run or, with a WAL, in the next.
func TestFlushWithNew(t *testing.T) {
	for name, w := range map[string]*wal.Options{"memory": nil, "wal": {Dir: t.TempDir()}} {
		o := Options{Clock: &fakeClock{wall: at(36000)}, WAL: w}
		if w != nil {
			o.Profile = Macronode
		}
		p, err := New(o)
		if err != nil {
			t.Fatal(name, err)
		}
		ctx := context.Background()
		k := &Key{Tenant: canon.IDFromUint64(1), Subject: canon.IDFromUint64(2)}
		pending := func(err error, want uint64) {
			t.Helper()
			var e *DrainError
			if !errors.As(err, &e) || e.Units["bytes"] != want || e.Streams != 1 || e.Durable != (w != nil) {
				t.Fatalf("%s: %v, want %d bytes pending", name, err, want)
			}
		}
		var all []canon.SealedSlice
		take := func(want uint64) {
			t.Helper()
			out, err := p.SealNow(ctx)
			if err != nil {
				t.Fatal(name, err)
			}
			got := uint64(0)
			for _, s := range out {
				for _, r := range s.Rows() {
					got += r.Inc
				}
			}
			if all = append(all, out...); got != want {
				t.Fatalf("%s: handed over %d, want %d", name, got, want)
			}
			if err := canon.VerifyChain(all); err != nil {
				t.Fatal(name, err)
			}
		}
		record := func(n uint64) {
			t.Helper()
			if err := p.RecordSlow(k, n); err != nil {
				t.Fatal(name, err)
			}
		}
		record(5)
		pending(p.Flush(ctx), 5)
		record(6)
		pending(p.Flush(ctx), 11)
		record(7)
		take(18)
		if err := p.Flush(ctx); err != nil {
			t.Fatal(name, err)
		}
		record(8)
		pending(p.Close(ctx), 8)
		if w == nil {
			continue
		}
		if p, err = New(o); err != nil {
			t.Fatal(name, err)
		}
		take(8)
		if err := p.Close(ctx); err != nil {
			t.Fatal(name, err)
		}
	}
}
