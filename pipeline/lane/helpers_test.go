package lane_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// referee stands between the router and a sink and checks the promises of BatchExporter's callers: at most one run a
// stream and batch, consecutive seqs, no stream in two calls at once, nothing behind a slice that was not acked.
type referee struct {
	sink   *memory.Sink
	behave func(ctx context.Context, call int, batch []canon.SealedSlice) ([]export.Result, bool) // true: these are the answers

	mu      sync.Mutex
	calls   int
	now     int // calls in flight
	most    int
	sizes   []int
	flying  map[export.Stream]bool
	acked   map[export.Stream]uint64 // 1 + the seq that the router was told is acked
	faults  []string
	started chan struct{} // where not nil: gets one at each call
}

func newReferee() *referee {
	return &referee{sink: memory.New(memory.Options{Keep: true, Verify: true}), flying: map[export.Stream]bool{}, acked: map[export.Stream]uint64{}}
}

func (f *referee) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *referee) enter(batch []canon.SealedSlice) int {
	pass()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.now++
	f.most = max(f.most, f.now)
	f.sizes = append(f.sizes, len(batch))
	last := map[export.Stream]uint64{}
	var before export.Stream
	for i, s := range batch {
		h := s.Head()
		st := export.StreamOf(h)
		if seq, again := last[st]; again {
			if before != st {
				f.fault("call %d: stream %v has two runs", f.calls, st)
			}
			if h.Seq != seq+1 {
				f.fault("call %d: stream %v: seq %d behind %d", f.calls, st, h.Seq, seq)
			}
		} else {
			if f.flying[st] {
				f.fault("call %d: stream %v is in two calls", f.calls, st)
			}
			first := h.Seq
			if h.Gap != nil {
				first = h.Gap.From
			}
			if first > f.acked[st] {
				f.fault("call %d: item %d: stream %v: seq %d put before %d was acked", f.calls, i, st, h.Seq, first-1)
			}
		}
		f.flying[st], last[st], before = true, h.Seq, st
	}
	if f.started != nil {
		f.started <- struct{}{}
	}
	return f.calls
}

func (f *referee) leave(batch []canon.SealedSlice, out []export.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	failed := map[export.Stream]bool{}
	for i, s := range batch {
		st := export.StreamOf(s.Head())
		delete(f.flying, st)
		if i < len(out) && len(out) == len(batch) && out[i].Err == nil && (out[i].Ack == export.AckOK || out[i].Ack == export.AckDuplicate) && !failed[st] {
			f.acked[st] = max(f.acked[st], s.Head().Seq+1)
			continue
		}
		failed[st] = true
	}
}

func (f *referee) PutBatch(ctx context.Context, batch []canon.SealedSlice) (out []export.Result) {
	n := f.enter(batch)
	defer func() { f.leave(batch, out) }()
	if f.behave != nil {
		if r, done := f.behave(ctx, n, batch); done {
			return r
		}
	}
	return f.sink.PutBatch(ctx, batch)
}

func (f *referee) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := f.PutBatch(ctx, []canon.SealedSlice{s})
	if len(r) != 1 {
		return 0, nil
	}
	return r[0].Ack, r[0].Err
}

// single hides PutBatch.
type single struct{ e export.Exporter }

func (s single) Put(ctx context.Context, x canon.SealedSlice) (export.Ack, error) {
	return s.e.Put(ctx, x)
}

// rig is a router with its streams and what its hooks said.
type rig struct {
	r      *lane.Router
	ref    *referee
	chains []*exporttest.Chain
	lanes  []*lane.Lane
	handed []int // slices handed in, by stream

	mu       sync.Mutex
	acked    [][]uint64
	dups     int
	failures map[lane.Class]int
	items    []*lane.Item
	halts    []error
	rests    int
	circuit  []bool
}

func newRig(t testing.TB, streams int, ref *referee, cfg lane.Config) *rig {
	t.Helper()
	g := &rig{ref: ref, acked: make([][]uint64, streams), handed: make([]int, streams), failures: map[lane.Class]int{}}
	if cfg.Sink.Exporter == nil {
		cfg.Sink = export.Sink{Name: "test", Exporter: ref, Required: true}
	}
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	cfg.Hooks = lane.Hooks{
		Acked: func(_ time.Time, items []*lane.Item, acks []export.Ack) {
			pass()
			g.mu.Lock()
			defer g.mu.Unlock()
			for i, it := range items {
				n := it.User.(int)
				g.acked[n] = append(g.acked[n], it.Seq)
				g.items = append(g.items, it)
				if acks[i] == export.AckDuplicate {
					g.dups++
				}
			}
		},
		Failed: func(f lane.Failure) {
			pass()
			g.mu.Lock()
			g.failures[f.Class] += f.Slices
			g.mu.Unlock()
		},
		Halted: func(_ *lane.Lane, _ uint64, err error) {
			pass()
			g.mu.Lock()
			g.halts = append(g.halts, err)
			g.mu.Unlock()
		},
		Rested: func(*lane.Lane, error) {
			pass()
			g.mu.Lock()
			g.rests++
			g.mu.Unlock()
		},
		Circuit: func(open bool, _ error) {
			pass()
			g.mu.Lock()
			g.circuit = append(g.circuit, open)
			g.mu.Unlock()
		},
	}
	r, err := lane.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.r = r
	for i := range streams {
		s := exporttest.Stream("lane", i)
		g.chains = append(g.chains, exporttest.NewChain(s, 1))
		g.lanes = append(g.lanes, r.Lane(s))
	}
	return g
}

// add enqueues the next k slices of stream n.
func (g *rig) add(t testing.TB, n, k int) []*lane.Item {
	t.Helper()
	items := g.next(n, k)
	if got, err := g.r.Enqueue(items...); err != nil || got != len(items) {
		t.Fatalf("Enqueue: got %d, %v, want %d", got, err, len(items))
	}
	return items
}

func (g *rig) next(n, k int) []*lane.Item {
	var items []*lane.Item
	for range k {
		s := g.chains[n].Next()
		items = append(items, &lane.Item{Lane: g.lanes[n], Seq: s.Head().Seq, Slice: &s, User: n})
	}
	g.handed[n] += k
	return items
}

func (g *rig) close(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var de *lane.DrainError
	if err := g.r.Close(ctx); err != nil && !errors.As(err, &de) {
		t.Errorf("Close: %v", err)
	}
}

// check verifies that everything handed in was acked once and in order, is in the sink as an unbroken chain, and that the router kept its promises.
func (g *rig) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ref.mu.Lock()
	defer g.ref.mu.Unlock()
	var errs []error
	for _, f := range g.ref.faults {
		errs = append(errs, errors.New(f))
	}
	for n, seqs := range g.acked {
		if len(seqs) != g.handed[n] {
			errs = append(errs, fmt.Errorf("stream %d: got %d acks, want %d", n, len(seqs), g.handed[n]))
		}
		if !slices.IsSorted(seqs) {
			errs = append(errs, fmt.Errorf("stream %d: acks out of order: %v", n, seqs))
		}
		if g.lanes[n].Len() != 0 {
			errs = append(errs, fmt.Errorf("stream %d: lane says %d are left", n, g.lanes[n].Len()))
		}
	}
	return errors.Join(append(errs, g.ref.sink.Check())...)
}

// drain waits for the queues and for the hooks: a Drain that fails returns before the worker has told of what ended it,
// and what a hook wrote may be read without the lock only after a Wait.
func drain(t testing.TB, r *lane.Router, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	err := r.Drain(ctx)
	synctest.Wait()
	return err
}

func remote(status int, after time.Duration) error {
	return &export.RemoteError{Op: "put", Status: status, RetryAfter: after, Err: errors.New("test")}
}

func all(n int, err error) []export.Result {
	out := make([]export.Result, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

// rest lets synthetic time pass, and whatever that starts come to rest.
func rest(d time.Duration) {
	pass()
	time.Sleep(d)
	synctest.Wait()
}

// fence orders what a test's own goroutine looked at and set before a rest with what the router's goroutines do in it:
// synthetic sleep alone is no synchronization.
var fence sync.Mutex

func pass() {
	fence.Lock()
	defer fence.Unlock()
}
