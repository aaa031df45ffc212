package pipeline

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// deaf is a sink whose first call ignores its context until it is let go.
type deaf struct {
	ledger
	release chan struct{}
}

func (d *deaf) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	<-d.release
	return d.ledger.Put(ctx, s)
}

// A sink that never returns, whatever its deadline, is as little ready as one that refuses; when it returns, all is well by itself.
func TestStuckSinkIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{release: make(chan struct{})}
		p := open(t, Options{}, d)
		p.count(t, 1, 1, 10)
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
		defer cancel()
		err := p.Flush(ctx)
		var de *DrainError
		if !errors.As(err, &de) || de.Cause == nil || !errors.Is(de.Cause, export.ErrTimeout) {
			t.Errorf("Flush: got %v, want a DrainError that says why", err)
		}
		if r := p.Readiness(); r.Ready || !slices.Equal(r.Missing, []ReadyKey{ExporterOK}) {
			t.Errorf("got %+v, want exporter_ok missing", r)
		}
		close(d.release)
		time.Sleep(3 * time.Second)
		if r := p.Readiness(); !r.Ready {
			t.Errorf("after it returned: got %+v, want ready", r)
		}
		p.mustClose(t)
		if d.units() != 10 {
			t.Errorf("got %d units, want 10", d.units())
		}
	})
}

// slow is a sink that takes its time.
type slow struct {
	ledger
	d time.Duration
}

func (s *slow) Put(ctx context.Context, x canon.SealedSlice) (export.Ack, error) {
	select {
	case <-time.After(s.d):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return s.ledger.Put(ctx, x)
}

// Close drains the optional sinks too while there is time: what they miss then they miss for ever. One that is down does not hold it.
func TestCloseDrainsOptionalSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, second := &ledger{}, &slow{d: 100 * time.Millisecond}
		p, err := Open(Options{Sinks: []export.Sink{{Name: "ledger", Exporter: l, Required: true}, {Name: "copy", Exporter: second}}})
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(20) {
			p.count(t, n, 1, 1)
		}
		p.mustClose(t)
		if l.units() != 20 || second.units() != 20 {
			t.Errorf("required sink: %d units, optional one: %d, want 20 each", l.units(), second.units())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l, down := &ledger{}, &ledger{}
		down.set(errDown)
		p, err := Open(Options{DrainDeadline: time.Minute, Sinks: []export.Sink{{Name: "ledger", Exporter: l, Required: true}, {Name: "copy", Exporter: down}}})
		if err != nil {
			t.Fatal(err)
		}
		p.count(t, 1, 1, 1)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		p.count(t, 1, 1, 1)
		start := time.Now()
		_ = p.Close(t.Context())
		if d := time.Since(start); d > 10*time.Second || l.units() != 2 {
			t.Errorf("Close took %v with an optional sink down, required sink has %d units", d, l.units())
		}
	})
}

func TestWorkersFollowGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if o := (Options{}).withDefaults(); o.ExportWorkers != 1 {
		t.Errorf("got %d workers by default, want GOMAXPROCS, 1", o.ExportWorkers)
	}
	_, err := Open(Options{ExportWorkers: 3, Sinks: []export.Sink{{Name: "ledger", Exporter: &ledger{}}}})
	var oe *OptionError
	if !errors.As(err, &oe) || oe.Field != "ExportWorkers" {
		t.Errorf("got %v, want an OptionError for ExportWorkers", err)
	}
}
