package exporttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Sink is what the suite tests: an exporter that takes batches and knows its tips.
type Sink interface {
	export.BatchExporter
	export.Tipper
}

// Fault is a failure between an exporter and its ledger, or inside the ledger.
type Fault int

const (
	LoseReply   Fault = iota // the put arrives and is stored; its answer does not come back
	Slow                     // answers come after some 300 ms
	Hang                     // no answer comes
	Unavailable              // the ledger answers that it can't store now: 503 or its equal
)

// Harness is one empty ledger and ways to reach, to disturb and to read it.
type Harness struct {
	// Sink is connected to the ledger.
	Sink Sink
	// Another connects one more exporter that shares no memory with Sink, as a restarted or a second process would have.
	Another func() Sink
	// Inject lets every put fail so from now on until restore is called.
	Inject func(Fault) (restore func())
	// Held reads what the ledger holds of a stream, not through Sink.
	Held func(export.Stream) []canon.SealedSlice
	// Largest is the size of slice that must pass; 0: canon.MaxBytes.
	Largest int
	// Unavailable checks the error that Unavailable leads to; nil: it must be a *export.RemoteError with a status of 500 or more.
	Unavailable func(error) bool
}

// Run tests an exporter. open returns a new harness over an empty ledger for each test and cleans up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) *Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *Harness)
	}{
		{"ok", testOK}, {"duplicate", testDuplicate}, {"gap", testGap}, {"declared gap", testDeclaredGap}, {"conflict", testConflict},
		{"racing the same slice", testRaceSame}, {"racing forks", testRaceForks}, {"lost reply", testLostReply}, {"slow", testSlow},
		{"unavailable", testUnavailable}, {"timeout", testTimeout}, {"cancel", testCancel}, {"replay", testReplay},
		{"largest", testLargest}, {"batch", testBatch}, {"batch with a failure", testBatchFailure}, {"restart", testRestart},
		{"many streams at once", testParallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// patience bounds every call that must succeed.
const patience = 20 * time.Second

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func put(t *testing.T, s Sink, sl canon.SealedSlice, want export.Ack) {
	t.Helper()
	if ack, err := s.Put(ctx(t), sl); err != nil || ack != want {
		t.Fatalf("put of seq %d: got %v, %v, want %v", sl.Head().Seq, ack, err, want)
	}
}

func putAll(t *testing.T, s Sink, slices []canon.SealedSlice, want export.Ack) {
	t.Helper()
	res := s.PutBatch(ctx(t), slices)
	if len(res) != len(slices) {
		t.Fatalf("got %d results for %d slices", len(res), len(slices))
	}
	for i, r := range res {
		if r.Err != nil || r.Ack != want {
			t.Fatalf("item %d of %d, %v seq %d: got %v, %v, want %v", i, len(slices), export.StreamOf(slices[i].Head()), slices[i].Head().Seq, r.Ack, r.Err, want)
		}
	}
}

// refused wants a refusal of the kind that names the ledger's tip.
func refused(t *testing.T, err, kind error, tip *canon.SealedSlice) {
	t.Helper()
	var r *export.RefusedError
	if !errors.Is(err, kind) || !errors.As(err, &r) {
		t.Fatalf("got %v, want a *RefusedError that is %v", err, kind)
	}
	if tip == nil {
		if r.TipOK || r.ExpectedSeq != 0 {
			t.Fatalf("got %+v, want no tip and expected seq 0", r)
		}
		return
	}
	if !r.TipOK || r.TipSeq != tip.Head().Seq || r.TipDigest != tip.Digest() || r.ExpectedSeq != r.TipSeq+1 {
		t.Fatalf("got %+v, want the tip seq %d %v", r, tip.Head().Seq, tip.Digest())
	}
}

// passing wants an error that a lane retries.
func passing(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, export.ErrGap) || errors.Is(err, export.ErrConflict) {
		t.Fatalf("got %v, want an error that is tried again", err)
	}
}

// holds compares what the ledger holds, byte for byte, and its tip.
func (h *Harness) holds(t *testing.T, s export.Stream, want []canon.SealedSlice) {
	t.Helper()
	got := h.Held(s)
	if len(got) != len(want) {
		t.Fatalf("%v: the ledger holds %d slices, want %d", s, len(got), len(want))
	}
	for i := range got {
		if string(got[i].Bytes()) != string(want[i].Bytes()) {
			t.Fatalf("%v: slice %d: got seq %d %v, want seq %d %v", s, i, got[i].Head().Seq, got[i].Digest(), want[i].Head().Seq, want[i].Digest())
		}
	}
	seq, d, ok, err := h.Sink.Tip(ctx(t), s)
	if len(want) == 0 {
		if ok || err != nil {
			t.Fatalf("tip of an unknown stream: got %d, %v, %v", seq, ok, err)
		}
		return
	}
	last := want[len(want)-1]
	if err != nil || !ok || seq != last.Head().Seq || d != last.Digest() {
		t.Fatalf("tip: got %d %v %v, %v, want %d %v", seq, d, ok, err, last.Head().Seq, last.Digest())
	}
}
