package ingress

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
)

// gone is a gate that answers as its client's context ends.
type gone struct{ *gate }

func (g gone) Tip(ctx context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	if ctx.Err() != nil {
		return 0, canon.Digest{}, false, ctx.Err()
	}
	return g.gate.Tip(ctx, s)
}

// A sink that does not say where new streams stand is logged, once and with the cause, and missed by readiness, until it answers.
func TestMuteSinkIsTold(t *testing.T) {
	var log bytes.Buffer
	g := newGate()
	q := open(t, g, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	q.tipper = gone{g}
	c := exporttest.NewChain(exporttest.Stream("mute", 0), 1)
	first := c.Next()
	g.set(true)
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Put(left, first, func() {}); !errors.Is(err, ErrTipUnknown) || len(q.Missing()) != 0 || log.Len() != 0 {
		t.Errorf("a client that has gone: got %v, missing %v, log %q", err, q.Missing(), log.String())
	}
	for range 3 {
		want(t, q, first, 0, ErrTipUnknown)
	}
	if got := q.Missing(); !slices.Equal(got, []pipeline.ReadyKey{pipeline.ExporterOK}) {
		t.Errorf("missing: got %v, want exporter_ok", got)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "shut") {
		t.Errorf("log: got %q, want one line with the cause", got)
	}
	g.set(false)
	want(t, q, first, export.AckOK, nil)
	if got := q.Missing(); len(got) != 0 {
		t.Errorf("missing: got %v, want nothing", got)
	}
}

// A sink that is away when the queue is opened is missed at once, and found again though nobody puts a slice.
func TestSinkIsAwayAtTheStart(t *testing.T) {
	g := newGate()
	g.set(true)
	q := open(t, g, Options{})
	if got := q.Missing(); !slices.Equal(got, []pipeline.ReadyKey{pipeline.ExporterOK}) {
		t.Errorf("missing: got %v, want exporter_ok", got)
	}
	g.set(false)
	for end := time.Now().Add(10 * time.Second); len(q.Missing()) != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sink is back, and still missed")
		}
	}
}
