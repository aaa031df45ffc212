package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/shardmap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is the simplest sink that checks chains: the reference for what a sink sees.
type ledger struct {
	mu     sync.Mutex
	down   error
	chains map[export.Stream][]canon.SealedSlice
}

func (l *ledger) set(down error) {
	l.mu.Lock()
	l.down = down
	l.mu.Unlock()
}

func (l *ledger) Put(_ context.Context, s canon.SealedSlice) (export.Ack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil {
		return 0, l.down
	}
	if l.chains == nil {
		l.chains = map[export.Stream][]canon.SealedSlice{}
	}
	k := export.StreamOf(s.Head())
	for _, have := range l.chains[k] {
		if have.Head().Seq == s.Head().Seq {
			if have.Digest() == s.Digest() {
				return export.AckDuplicate, nil
			}
			return 0, export.ErrConflict
		}
	}
	c := append(slices.Clone(l.chains[k]), s.Clone())
	if err := canon.VerifyChain(c); err != nil {
		return 0, fmt.Errorf("%w: %w", export.ErrGap, err)
	}
	l.chains[k] = c
	return export.AckOK, nil
}

func (l *ledger) all() (out []canon.SealedSlice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.chains {
		out = append(out, c...)
	}
	return out
}

func (l *ledger) units() (sum uint64) {
	for _, s := range l.all() {
		for _, r := range s.Rows() {
			sum += r.Inc
		}
	}
	return sum
}

func open(t testing.TB, o Options, sink export.Exporter) *Pipeline {
	t.Helper()
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: sink, Required: true}}
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Pipeline) count(t testing.TB, tenant, subject, n uint64) {
	t.Helper()
	k := Key{Tenant: canon.IDFromUint64(tenant), Subject: canon.IDFromUint64(subject), Namespace: 7}
	if p.m.Add(k.Wide(), n) != shardmap.OK {
		if err := p.RecordSlow(&k, n); err != nil {
			t.Fatal(err)
		}
	}
}

func balanced(t *testing.T, p *Pipeline) Units {
	t.Helper()
	u := p.Stats().Units["bytes"]
	if u.Imbalance().Sign() != 0 {
		t.Errorf("imbalance %v: %+v", u.Imbalance(), u)
	}
	return u
}

func TestADayOfWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{Heartbeat: true}, l)
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(24*time.Hour + time.Second)))
		for range 288 {
			p.count(t, 1, 1, 3)
			time.Sleep(5 * time.Minute)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		var c []canon.SealedSlice
		for _, c = range l.chains {
		}
		if len(c) != 288 {
			t.Fatalf("%d slices in a day, want 288", len(c))
		}
		for i, s := range c {
			if h := s.Head(); h.WindowEndS-h.WindowStartS != 300 || h.Seq != uint64(i) || i > 0 && h.WindowStartS != c[i-1].Head().WindowEndS {
				t.Fatalf("slice %d: %+v", i, h)
			}
		}
		if l.units() != 3*288 {
			t.Errorf("the ledger holds %d units, want %d", l.units(), 3*288)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{Heartbeat: true}, l)
		p.count(t, 1, 1, 3)
		time.Sleep(time.Hour)
		if n := len(l.all()); n != 1+heartbeatWindows {
			t.Errorf("%d slices in an idle hour, want one of units and %d heartbeats", n, heartbeatWindows)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLedgerDownCoalescesAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		var log bytes.Buffer
		p := open(t, Options{LaneCapacity: 2, PendingSlices: 4, Logger: slog.New(slog.NewTextHandler(&log, nil))}, l)
		l.set(&export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")})
		want := uint64(0)
		for range 20 {
			for tenant := range uint64(3) {
				p.count(t, tenant, 1, 5)
				want += 5
			}
			time.Sleep(5 * time.Minute)
			if u := balanced(t, p); u.Recorded != want {
				t.Fatalf("recorded %d, want %d", u.Recorded, want)
			}
		}
		r := p.Readiness()
		if r.Ready || !slices.Contains(r.Missing, QueuesBoundedOK) || !slices.Contains(r.Missing, ExporterOK) || r.RetryAfter <= 0 {
			t.Errorf("readiness while down: %+v", r)
		}
		l.set(nil)
		time.Sleep(15 * time.Minute)
		if r := p.Readiness(); !r.Ready {
			t.Errorf("readiness after: %+v", r)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if l.units() != want {
			t.Errorf("the ledger holds %d units, want %d", l.units(), want)
		}
		spans := 0
		for _, s := range l.all() {
			if h := s.Head(); h.WindowEndS-h.WindowStartS > 300 {
				spans++
			}
		}
		if spans == 0 {
			t.Error("no slice spans several windows")
		}
		if line := regexp.MustCompile(`msg="no room: .* streams=[123] pending_slices=4 longest=\S+ its_slices=[12]\n`); !line.MatchString(log.String()) {
			t.Errorf("the log does not name a stream that waits: %s", &log)
		}
		balanced(t, p)
	})
}

func TestNoSliceCrossesAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{LaneCapacity: 1, PendingSlices: 1, PeriodBoundary: Hour}, l)
		l.set(&export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")})
		want := uint64(0)
		for range 40 {
			p.count(t, 1, 1, 5)
			want += 5
			time.Sleep(5 * time.Minute)
		}
		l.set(nil)
		time.Sleep(time.Minute)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if l.units() != want {
			t.Errorf("the ledger holds %d units, want %d", l.units(), want)
		}
		for _, s := range l.all() {
			if h := s.Head(); h.WindowStartS/3600 != (h.WindowEndS-1)/3600 {
				t.Errorf("a slice covers %d to %d, across an hour", h.WindowStartS, h.WindowEndS)
			}
		}
	})
}

func TestShedDeclaresWhatItDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{LaneCapacity: 2, PendingSlices: 2, Overflow: Shed}, l)
		time.Sleep(time.Second) // off the boundaries, so that what is read below is not of the moment of a seal
		l.set(&export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")})
		for range 6 {
			p.count(t, 1, 1, 10)
			time.Sleep(5 * time.Minute)
		}
		u := balanced(t, p)
		if u.Gap == 0 {
			t.Fatalf("nothing was shed: %+v", u)
		}
		l.set(nil)
		time.Sleep(10 * time.Minute)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		u = balanced(t, p)
		declared := uint64(0)
		for _, s := range l.all() {
			if g := s.Head().Gap; g != nil {
				declared += *g.Units
			}
		}
		if declared != u.Gap || l.units()+declared != 60 {
			t.Errorf("the ledger holds %d units and gaps of %d; shed %d of 60", l.units(), declared, u.Gap)
		}
		balanced(t, p)
	})
}

func TestCloseSaysWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{}, l)
		l.set(&export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")})
		p.count(t, 1, 1, 10)
		p.count(t, 2, 1, 10)
		err := p.Close(context.Background())
		var d *DrainError
		if !errors.As(err, &d) || !errors.Is(err, export.ErrTimeout) {
			t.Fatalf("got %v, want a DrainError", err)
		}
		if d.Slices != 2 || d.Streams != 2 || d.Units["bytes"] != 20 || d.Durable {
			t.Errorf("%+v", d)
		}
	})
}

func TestSplitWindowIsChained(t *testing.T) {
	p, err := New(Options{MaxRowsPerSlice: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	for i := range uint64(95) {
		p.count(t, 1, i, i+1)
	}
	s, err := p.SealNow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(s) != 10 {
		t.Errorf("%d slices of 95 rows, want 10", len(s))
	}
	if err := canon.VerifyChain(s); err != nil {
		t.Error(err)
	}
	rows := 0
	for _, x := range s {
		rows += x.Len()
		if h := x.Head(); h.WindowStartS != s[0].Head().WindowStartS || h.WindowEndS != s[0].Head().WindowEndS {
			t.Errorf("windows differ: %+v", h)
		}
		if _, err := canon.Decode(x.Bytes()); err != nil {
			t.Error(err)
		}
	}
	if rows != 95 {
		t.Errorf("%d rows, want 95", rows)
	}
}

func TestSealSteadyStateDoesNotAllocate(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	work := func() {
		for i := range uint64(2000) {
			p.count(t, i%5, i, i+1)
		}
		p.sealMu.Lock()
		defer p.sealMu.Unlock()
		if _, err := p.seal(p.roll.cur, sealPart, taken); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		work()
	}
	if n := testing.AllocsPerRun(20, work); n > 0 {
		t.Errorf("%v allocations a seal", n)
	}
}

// TestScarceRoomGoesRound: where the pending queue holds fewer slices than there are streams, each stream has its turn, and a stream that needs more
// slices than the queue or its lane holds is not left out for ever.
func TestScarceRoomGoesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := open(t, Options{PendingSlices: 4, LaneCapacity: 2, MaxRowsPerSlice: 2}, l)
		time.Sleep(time.Second)
		const streams, windows = 10, 30
		for range windows {
			for tenant := range uint64(streams) {
				p.count(t, tenant, 1, 1)
			}
			for subject := range uint64(20) { // ten slices a window
				p.count(t, streams, subject, 1)
			}
			time.Sleep(5 * time.Minute)
		}
		l.mu.Lock()
		if len(l.chains) != streams+1 {
			t.Errorf("%d of %d streams were sealed within %d windows", len(l.chains), streams+1, windows)
		}
		for k, c := range l.chains {
			if last := c[len(c)-1].Head().WindowEndS; last+10*300 < uint64(time.Now().Unix()) {
				t.Errorf("%v was last sealed %d s ago", k, uint64(time.Now().Unix())-last)
			}
		}
		l.mu.Unlock()
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if l.units() != windows*(streams+20) {
			t.Errorf("the ledger holds %d units, want %d", l.units(), windows*(streams+20))
		}
	})
}
