package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// fullSink takes some slices, then no more.
type fullSink struct {
	*memory.Sink
	room int
}

func (s *fullSink) Put(ctx context.Context, x canon.SealedSlice) (export.Ack, error) {
	if s.room--; s.room < 0 {
		return 0, errors.New("full")
	}
	return s.Sink.Put(ctx, x)
}

// TestReplayIntoAFullSink: a stream of which some slices were put before it failed is mended in part, failed, and not whole.
func TestReplayIntoAFullSink(t *testing.T) {
	dir := t.TempDir()
	l, err := ledger.Open(filepath.Join(dir, "from.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, filepath.Join(dir, "wal"), l, 5) // 5 slices of 2 streams
	for room := range 5 {
		var out strings.Builder
		err := replay(context.Background(), ledgerSource{l}, &fullSink{memory.New(memory.Options{}), room}, false, &out)
		if err == nil || !strings.Contains(out.String(), "; 0 of 2 streams were whole") {
			t.Errorf("room for %d: %v\n%s", room, err, out.String())
		}
	}
}
