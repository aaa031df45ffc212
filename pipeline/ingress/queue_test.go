package ingress

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a sink that can be shut.
type gate struct {
	*memory.Sink
	mu      sync.Mutex
	shut    bool
	refused map[string]int // slices, by dimension: of one chain where each has its own
}

// refusals returns how many slices of a dimension the shut gate has refused.
func (g *gate) refusals(dimension string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused[dimension]
}

func (g *gate) set(shut bool) { g.mu.Lock(); g.shut = shut; g.mu.Unlock() }
func (g *gate) err(slices ...canon.SealedSlice) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		for _, s := range slices {
			g.refused[s.Head().Dimension]++
		}
		return &export.RemoteError{Op: "put", Status: 503, RetryAfter: 20 * time.Millisecond, Err: errors.New("shut")}
	}
	return nil
}
func (g *gate) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	if err := g.err(s); err != nil {
		return 0, err
	}
	return g.Sink.Put(ctx, s)
}
func (g *gate) PutBatch(ctx context.Context, b []canon.SealedSlice) []export.Result {
	if err := g.err(b...); err != nil {
		out := make([]export.Result, len(b))
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	return g.Sink.PutBatch(ctx, b)
}
func (g *gate) Tip(ctx context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	if err := g.err(); err != nil {
		return 0, canon.Digest{}, false, err
	}
	return g.Sink.Tip(ctx, s)
}

func newGate() *gate {
	return &gate{Sink: memory.New(memory.Options{Keep: true, Verify: true}), refused: map[string]int{}}
}

func open(t *testing.T, g *gate, o Options) *Queue {
	t.Helper()
	o.Sink = export.Sink{Name: "test", Exporter: g, Required: true}
	o.Workers = 2
	if o.Recount == nil {
		o.Recount = func([]byte, int, func(int)) error { return nil }
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20 // small segments
	}
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(q) })
	return q
}

func stop(q *Queue) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return q.Close(ctx)
}

func put(q *Queue, s canon.SealedSlice) (export.Ack, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return q.Put(ctx, s, func() {})
}

// remember keeps a key for a batch without rows.
func remember(t *testing.T, q *Queue, key, batch canon.Digest) (bool, error) {
	return q.Count(t.Context(), key, batch, []byte("rows"), func([]byte, int, func(int)) error { return nil })
}

func want(t *testing.T, q *Queue, s canon.SealedSlice, ack export.Ack, is error) {
	t.Helper()
	got, err := put(q, s)
	if got != ack || !errors.Is(err, is) {
		t.Fatalf("seq %d: got %v, %v; want %v, %v", s.Head().Seq, got, err, ack, is)
	}
}

func TestChainIsChecked(t *testing.T) {
	g := newGate()
	q := open(t, g, Options{Dir: t.TempDir()})
	c := exporttest.NewChain(exporttest.Stream("chain", 0), 3)
	all := c.Take(4)
	want(t, q, all[1], 0, export.ErrGap) // it does not begin the stream
	want(t, q, all[0], export.AckOK, nil)
	want(t, q, all[0], export.AckDuplicate, nil)
	want(t, q, all[2], 0, export.ErrGap)
	want(t, q, all[1], export.AckOK, nil)
	want(t, q, all[0], export.AckDuplicate, nil)
	other := exporttest.NewChain(exporttest.Stream("chain", 0), 3)
	other.Salt = 9
	fork := other.Take(3)
	want(t, q, fork[0], 0, export.ErrConflict)
	want(t, q, fork[1], 0, export.ErrConflict)
	want(t, q, fork[2], 0, export.ErrGap) // its prev is not our tip
	var refused *export.RefusedError
	if _, err := put(q, all[3]); !errors.As(err, &refused) || refused.ExpectedSeq != 2 || !refused.TipOK || refused.TipDigest != all[1].Digest() {
		t.Errorf("got %v, want the tip at seq 1", err)
	}
	back := exporttest.NewChain(exporttest.Stream("back", 0), 3)
	want(t, q, back.Next(), export.AckOK, nil)
	back.Start -= 10
	want(t, q, back.Next(), 0, canon.ErrSchema) // its window runs back
}

// What was acknowledged survives an end without Close: the directory, copied while the queue runs, is what a kill -9 leaves.
func TestAcceptedSurvives(t *testing.T) {
	g := newGate()
	g.set(false)
	dir := t.TempDir()
	q := open(t, g, Options{Dir: dir})
	a, b := exporttest.NewChain(exporttest.Stream("survive", 0), 5), exporttest.NewChain(exporttest.Stream("survive", 1), 5)
	first := a.Take(3)
	want(t, q, first[0], export.AckOK, nil)
	for g.Sink.Stats().OK < 1 {
		time.Sleep(time.Millisecond)
	}
	want(t, q, b.Next(), export.AckOK, nil)
	g.set(true)
	want(t, q, first[1], export.AckOK, nil)
	want(t, q, first[2], export.AckOK, nil)
	if dup, err := remember(t, q, canon.Sum([]byte("k")), canon.Sum([]byte("batch"))); dup || err != nil {
		t.Fatal(dup, err)
	}

	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r := open(t, g, Options{Dir: copied})
	want(t, r, first[1], export.AckDuplicate, nil)
	want(t, r, first[2], export.AckDuplicate, nil)
	if dup, err := remember(t, r, canon.Sum([]byte("k")), canon.Sum([]byte("batch"))); !dup || err != nil {
		t.Errorf("the key is forgotten: %v, %v", dup, err)
	}
	if _, err := remember(t, r, canon.Sum([]byte("k")), canon.Sum([]byte("other"))); !errors.Is(err, ErrKeyReused) {
		t.Errorf("the key stands for another batch now: %v", err)
	}
	want(t, r, a.Next(), export.AckOK, nil) // goes on behind what was staged, though the sink is shut
	g.set(false)
	if err := stop(r); err != nil {
		t.Fatal(err)
	}
	if seq, _, ok, _ := g.Sink.Tip(t.Context(), a.Stream); !ok || seq != 3 {
		t.Errorf("the sink's tip: got %d %v, want 3", seq, ok)
	}
	// After an orderly end nothing is staged, and repeats are still known without asking the sink.
	g.set(true)
	again := open(t, g, Options{Dir: copied})
	if s := again.Stats(); s.Slices != 0 || s.Bytes != 0 {
		t.Errorf("got %+v, want nothing staged", s)
	}
	want(t, again, first[1], export.AckDuplicate, nil)
	want(t, again, a.Next(), export.AckOK, nil)
	g.set(false)
}

func TestBounds(t *testing.T) {
	g := newGate()
	q := open(t, g, Options{Dir: t.TempDir(), MaxBytes: 1 << 20, MaxSlices: 8, LaneCapacity: 3, MaxStreams: 4, MaxResident: 1, Horizon: 2, MaxKeys: 1})
	g.set(false)
	a := exporttest.NewChain(exporttest.Stream("bounds", 0), 2)
	all := a.Take(4)
	want(t, q, all[0], export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	other := exporttest.NewChain(exporttest.Stream("bounds", 3), 2) // another tenant
	want(t, q, other.Next(), export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	g.set(true)
	for _, s := range all[1:] {
		want(t, q, s, export.AckOK, nil)
	}
	want(t, q, a.Next(), 0, ErrOrderOverflow)
	unknown := exporttest.NewChain(exporttest.Stream("bounds", 9), 1)
	want(t, q, unknown.Next(), 0, ErrTipUnknown)
	if q.Stats().Resident != 0 {
		t.Errorf("%d bytes are resident, want none", q.Stats().Resident)
	}
	g.set(false)
	same := exporttest.NewChain(exporttest.Stream("bounds", 1), 1) // the tenant has 4 of 8 at most
	g.Sink.Stats()
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	want(t, q, same.Next(), export.AckOK, nil)
	want(t, q, all[0], 0, export.ErrConflict) // beyond the horizon of 2: can't be told
	if _, err := remember(t, q, canon.Sum([]byte("1")), canon.Digest{}); err != nil {
		t.Error(err)
	}
	if _, err := remember(t, q, canon.Sum([]byte("2")), canon.Digest{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	for i := range 9 { // more streams than MaxStreams: the idle ones make room
		c := exporttest.NewChain(exporttest.Stream("many", i), 1)
		want(t, q, c.Next(), export.AckOK, nil)
		for q.Stats().Slices > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if n := q.Stats().Streams; n > 4 {
		t.Errorf("%d streams, want at most 4", n)
	}
	want(t, q, a.Next(), 0, export.ErrGap) // forgotten, asked of the sink, and the overflowed slice is missing
}

func TestTenantShare(t *testing.T) {
	g := newGate()
	q := open(t, g, Options{MaxSlices: 4})
	greedy, modest := exporttest.NewChain(exporttest.Stream("share", 0), 1), exporttest.NewChain(exporttest.Stream("share", 3), 1)
	want(t, q, greedy.Next(), export.AckOK, nil)
	want(t, q, modest.Next(), export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	g.set(true)
	want(t, q, greedy.Next(), export.AckOK, nil)
	want(t, q, greedy.Next(), export.AckOK, nil)
	third := greedy.Next()
	want(t, q, third, 0, ErrFull)
	want(t, q, modest.Next(), export.AckOK, nil)
	g.set(false)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	want(t, q, third, export.AckOK, nil)
}

// broken fails commits as told.
type broken struct {
	store
	err atomic.Pointer[error]
}

func (b *broken) commit(c *change) error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return b.store.commit(c)
}

func TestFailedCommits(t *testing.T) {
	g := newGate()
	b := &broken{}
	q := open(t, g, Options{Dir: t.TempDir(), seam: func(s store) store { b.store = s; return b }})
	c := exporttest.NewChain(exporttest.Stream("broken", 0), 1)
	s := c.Take(3)
	want(t, q, s[0], export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(3 * ackDelay) // the ack is in the store
	b.err.Store(&errNoRoom)
	want(t, q, s[1], 0, ErrFull)
	if _, err := remember(t, q, canon.Digest{1}, canon.Digest{}); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	b.err.Store(nil)
	want(t, q, s[1], export.AckOK, nil) // as if nothing had been
	if dup, err := remember(t, q, canon.Digest{1}, canon.Digest{}); dup || err != nil {
		t.Error(dup, err)
	}
	eio := errors.New("input/output error")
	b.err.Store(&eio)
	want(t, q, s[2], 0, ErrFailed)
	b.err.Store(nil)
	want(t, q, s[2], 0, ErrFailed) // for good
	if len(q.Missing()) == 0 {
		t.Error("ready after a failed commit")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := Open(Options{MaxBytes: 1, KeyAge: time.Hour, TenantShare: 2, Horizon: -1})
	for _, field := range []string{"MaxBytes", "KeyAge", "TenantShare", "Horizon"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

// A directory has one owner at a time, and the second is told so.
func TestSecondOwner(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	first := open(t, newGate(), o)
	o.Sink = export.Sink{Name: "test", Exporter: newGate(), Required: true}
	if _, err := Open(o); !errors.Is(err, ErrInUse) {
		t.Fatalf("a second owner: got %v, want ErrInUse", err)
	}
	if err := stop(first); err != nil {
		t.Fatal(err)
	}
	open(t, newGate(), o)
}
