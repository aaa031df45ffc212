package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// sink is where a run exports to, and how its ledger is read back.
type sink struct {
	exporter export.Exporter
	read     func(context.Context, *conserve.Book) error // after the recorder is closed
	close    func() error                                // may be called twice
}

// openSink opens the sink that the settings name, with the faults asked for in front of it.
func openSink(ctx context.Context, set *Settings, dir string) (*sink, error) {
	writers := &writers{seen: map[[16]byte]bool{}}
	var s *sink
	var err error
	switch scheme, _, _ := strings.Cut(set.Sink, "://"); scheme {
	case "memory":
		s = memorySink()
	case "ledger":
		s, err = ledgerSink(filepath.Join(dir, "ledger.db"))
	default:
		err = fmt.Errorf("sink %q", set.Sink)
	}
	if err != nil {
		return nil, err
	}
	writers.next = s.exporter
	if set.Chaos.Exports() {
		writers.next = chaos.New(writers.next, set.Chaos, set.Spec.Seed)
	}
	s.exporter = writers
	return s, nil
}

func ledgerSink(path string) (*sink, error) {
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		return nil, err
	}
	closed := false
	s := &sink{exporter: l}
	s.close = func() error {
		if closed {
			return nil
		}
		closed = true
		return l.Close()
	}
	s.read = func(_ context.Context, book *conserve.Book) error {
		if err := s.close(); err != nil {
			return err
		}
		return book.ReadLedgerFile(path)
	}
	return s, nil
}

// writers passes slices on and keeps whose they were: in a ledger that others share, only those are ours to prove.
type writers struct {
	next export.Exporter
	mu   sync.Mutex
	seen map[[16]byte]bool
}

func (w *writers) note(slices ...canon.SealedSlice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range slices {
		w.seen[slices[i].Head().Writer] = true
	}
}

// ours returns whether a stream's writer is this run's.
func (w *writers) ours() func(conserve.Stream) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := maps.Clone(w.seen)
	return func(s conserve.Stream) bool { return seen[s.Writer] }
}

func (w *writers) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	w.note(s)
	return w.next.Put(ctx, s)
}

func (w *writers) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	w.note(slices...)
	if b, ok := w.next.(export.BatchExporter); ok {
		return b.PutBatch(ctx, slices)
	}
	out := make([]export.Result, len(slices))
	failed := map[export.Stream]bool{}
	for i, s := range slices {
		stream := export.StreamOf(s.Head())
		if failed[stream] {
			out[i].Err = fmt.Errorf("the slice before it failed: %w", export.ErrTimeout)
			continue
		}
		out[i].Ack, out[i].Err = w.next.Put(ctx, s)
		failed[stream] = out[i].Err != nil
	}
	return out
}

func (w *writers) Tip(ctx context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	if t, ok := w.next.(export.Tipper); ok {
		return t.Tip(ctx, s)
	}
	return 0, canon.Digest{}, false, errors.ErrUnsupported
}
