package rig

import (
	"context"
	"path/filepath"
	"strings"

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
	var s *sink
	var err error
	switch scheme, _, _ := strings.Cut(set.Sink, "://"); scheme {
	case "memory":
		s = memorySink()
	case "ledger":
		s, err = ledgerSink(filepath.Join(dir, ledgerFile))
	case "nats":
		s, err = natsSink(ctx, set.Sink)
	default:
		s, err = httpSink(ctx, set.Sink)
	}
	if err != nil {
		return nil, err
	}
	if set.Chaos.Exports() {
		s.exporter = chaos.New(s.exporter, set.Chaos, set.Spec.Seed)
	}
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
