package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// refuser refuses every slice until it is mended.
type refuser struct {
	ledger
	mended atomic.Bool
}

func (r *refuser) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	if !r.mended.Load() {
		return 0, export.ErrGap
	}
	return r.ledger.Put(ctx, s)
}

// TestManyStreamsHalted: a ledger that refuses all streams is told in a few lines, and goes on after Tune, without a restart, once it is mended.
func TestManyStreamsHalted(t *testing.T) {
	const streams = 2000
	sink := &refuser{}
	var log strings.Builder
	p, err := Open(Options{CapacityRows: streams, MaxStreams: streams, DrainDeadline: 10 * time.Second, Sinks: []export.Sink{{Name: "ledger", Exporter: sink}},
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(streams) {
		if err := p.RecordSlow(&Key{Tenant: canon.IDFromUint64(i + 1)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	halted := func() bool {
		p.sinkMu.Lock()
		defer p.sinkMu.Unlock()
		return p.halted.n == streams
	}
	if _, err := p.SealNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); !halted(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the streams are not halted")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err = p.Flush(ctx)
	var drain *DrainError
	if !errors.As(err, &drain) || !errors.Is(err, export.ErrGap) || drain.Streams != streams {
		t.Errorf("got %v, want a DrainError of %d streams that is ErrGap", err, streams)
	}
	if s := err.Error(); len(s) > 2000 || !strings.Contains(s, "and 1996 more streams halted") {
		t.Errorf("%d bytes: %.300s", len(s), s)
	}
	sink.mended.Store(true)
	if err := p.Tune(Tuning{DrainDeadline: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	if got := sink.units(); got != streams {
		t.Errorf("the ledger holds %d, want %d", got, streams)
	}
	if n := strings.Count(log.String(), "lane halted"); n != streams {
		t.Errorf("%d lines of halted lanes, want one a stream", n)
	}
	if strings.Contains(log.String(), "sink=ledger sink=ledger") {
		t.Error("the sink is named twice in a line")
	}
}

// TestHaltsKeepConflicts: a conflict is seen however many gaps came before it.
func TestHaltsKeepConflicts(t *testing.T) {
	var h halts
	if h.err() != nil {
		t.Error("an error without a halt")
	}
	for range 100 {
		h.add(export.ErrGap)
	}
	before := h.err()
	h.add(export.ErrConflict)
	if err := h.err(); !errors.Is(err, export.ErrConflict) || !errors.Is(err, export.ErrGap) {
		t.Errorf("got %v", err)
	}
	if errors.Is(before, export.ErrConflict) {
		t.Error("an error that was given out has changed")
	}
}
