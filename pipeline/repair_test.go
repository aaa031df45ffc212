package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// damage flips a bit in the bodies of slices wherever a WAL's directory has them.
func damage(t *testing.T, dir string, victims ...canon.SealedSlice) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	hit := 0
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range victims {
			if i := bytes.Index(b, v.Bytes()); i >= 0 {
				b[i+len(v.Bytes())/2] ^= 1
				hit++
			}
		}
		if err := os.WriteFile(n, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if hit < len(victims) {
		t.Fatalf("%d slices damaged, want %d", hit, len(victims))
	}
}

// holed leaves a WAL with five slices pending, of 1, 10, 100, 1000 and 10000 units, of which the first put have arrived, and the named are damaged.
func holed(t *testing.T, l *tipLedger, put int, victims ...int) (Options, []canon.SealedSlice) {
	t.Helper()
	o := macronode(t.TempDir())
	p := open(t, o, l)
	l.set(errDown)
	var made []canon.SealedSlice
	for i, n := 0, uint64(1); i < 5; i, n = i+1, 10*n {
		p.count(t, 1, 1, n)
		made = append(made, p.mustSeal(t)...)
	}
	_ = p.Close(context.Background())
	l.set(nil)
	for _, s := range made[:put] {
		if _, err := l.Put(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	var bad []canon.SealedSlice
	for _, v := range victims {
		bad = append(bad, made[v])
	}
	damage(t, o.WAL.Dir, bad...)
	return o, made
}

// awaitSlices waits until the stream is no longer halted.
func awaitStream(t *testing.T, p *Pipeline) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.sealMu.Lock()
		n := len(p.waiting)
		p.sealMu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Fatal("the stream still waits for the tip")
}

func TestHoleIsDeclaredAndSurvivorsAreSealedAnew(t *testing.T) {
	for _, c := range []struct {
		put     int
		victims []int
		gap     *canon.Gap
		lost    uint64
		slices  int
	}{
		{0, []int{2}, &canon.Gap{From: 0, To: 4}, 100, 5},   // four anew and what is counted since
		{2, []int{2}, &canon.Gap{From: 2, To: 4}, 100, 5},   // two, two anew, one
		{2, []int{4}, &canon.Gap{From: 2, To: 4}, 10000, 5}, // the head's own digest is not needed
		{2, []int{2, 3, 4}, &canon.Gap{From: 2, To: 4}, 11100, 3},
		{4, []int{2}, nil, 0, 6}, // the ledger has it: nothing is lost
		{5, []int{4}, nil, 0, 6},
	} {
		l := &tipLedger{}
		o, _ := holed(t, l, c.put, c.victims...)
		p := open(t, o, l)
		awaitStream(t, p)
		p.count(t, 1, 1, 100000)
		flush(t, p)
		u := balanced(t, p)
		if u.Gap != c.lost || u.Pending != 0 || u.Recorded != 111111 {
			t.Errorf("%+v: %+v, want %d in the gap and 111111 recorded", c, u, c.lost)
		}
		if l.units() != 111111-c.lost {
			t.Errorf("%+v: the ledger holds %d units, want all but %d", c, l.units(), c.lost)
		}
		p.mustClose(t)
		chain := l.chain(t)
		if err := canon.VerifyChain(chain); err != nil || len(chain) != c.slices {
			t.Errorf("%+v: %d slices, %v, want %d", c, len(chain), err, c.slices)
		}
		i := slices.IndexFunc(chain, func(s canon.SealedSlice) bool { return s.Head().Gap != nil })
		if (i >= 0) != (c.gap != nil) {
			t.Errorf("%+v: gap at %d", c, i)
		} else if i >= 0 {
			g := chain[i].Head().Gap
			if g.From != c.gap.From || g.To != c.gap.To || g.Units == nil || *g.Units != c.lost || g.Reason != "wal_damage" {
				t.Errorf("%+v: gap %+v", c, g)
			}
		}
		// It is settled: another start finds nothing to do.
		p = open(t, o, l)
		p.count(t, 1, 1, 1)
		flush(t, p)
		balanced(t, p)
		if l.units() != 111112-c.lost || p.Readiness().Ready != true {
			t.Errorf("%+v: after another start the ledger holds %d; %v", c, l.units(), p.ready.reasons())
		}
		p.mustClose(t)
	}
}

func TestHoleWaitsForTheTip(t *testing.T) {
	l := &tipLedger{}
	o, _ := holed(t, l, 1, 2)
	l.mu.Lock()
	l.tipErr = errors.New("no answer")
	l.mu.Unlock()
	p := open(t, o, l)
	p.count(t, 1, 1, 100000)
	p.count(t, 2, 1, 7) // another stream goes on
	for range 3 {
		p.mustSeal(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var de *DrainError
	if err := p.Flush(ctx); !errors.As(err, &de) {
		t.Errorf("Flush while the tip is not known: got %v, want a DrainError", err)
	}
	if u := balanced(t, p); u.Open != 100000 {
		t.Errorf("while the tip is not known: %+v, want 100000 open", u)
	}
	for end := time.Now().Add(5 * time.Second); p.Readiness().Ready; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("readiness does not show that a stream waits")
		}
	}
	l.mu.Lock()
	l.tipErr = nil
	l.mu.Unlock()
	awaitStream(t, p)
	flush(t, p)
	if l.units() != 111111-100+7 {
		t.Errorf("the ledger holds %d units, want all but the lost 100", l.units())
	}
	if r := p.Readiness(); !r.Ready {
		t.Errorf("afterwards: %v", p.ready.reasons())
	}
	p.mustClose(t)
}

func TestLedgerThatLostItsTailHaltsTheStream(t *testing.T) {
	l := &tipLedger{}
	o := macronode(t.TempDir())
	p := open(t, o, l)
	var made []canon.SealedSlice
	for i := range uint64(4) {
		p.count(t, 1, 1, i+1)
		made = append(made, p.mustSeal(t)...)
		flush(t, p)
	}
	p.mustClose(t)
	l.mu.Lock()
	for k, c := range l.chains {
		l.chains[k] = c[:2] // restored from an older backup
	}
	l.mu.Unlock()
	p = open(t, o, l)
	p.count(t, 1, 1, 100)
	p.mustSeal(t)
	for end := time.Now().Add(5 * time.Second); p.Readiness().Ready; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a ledger without its tail was not noticed")
		}
	}
	if why := p.ready.reasons()[ExporterOK]; !errors.Is(why, export.ErrGap) {
		t.Errorf("got %v, want ErrGap", why)
	}
	_ = p.Close(context.Background())
	for _, s := range made[2:] { // what replay does
		if _, err := l.Put(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	p = open(t, o, l)
	flush(t, p)
	p.mustClose(t)
	if l.units() != 110 {
		t.Errorf("the ledger holds %d units, want 110", l.units())
	}
}

// TestRollbackIsDeclared: the other way out, for slices that nobody has any more.
func TestRollbackIsDeclared(t *testing.T) {
	l := &tipLedger{}
	o := macronode(t.TempDir())
	p := open(t, o, l)
	for i := range uint64(4) {
		p.count(t, 1, 1, i+1)
		p.count(t, 2, 1, 1)
		flush(t, p)
	}
	l.set(errDown)
	p.count(t, 1, 1, 1000)
	p.mustSeal(t) // pending
	_ = p.Close(context.Background())
	l.set(nil)
	l.mu.Lock()
	for k, c := range l.chains {
		if k.Tenant == canon.IDFromUint64(1) {
			l.chains[k] = c[:2]
		}
	}
	l.mu.Unlock()
	o.DeclareRollback = true
	p = open(t, o, l)
	p.count(t, 1, 1, 100)
	p.count(t, 2, 1, 1)
	for end := time.Now().Add(10 * time.Second); l.units() != 1+2+1000+100+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the ledger holds %d units, want 1108", l.units())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = p.Flush(ctx)
		cancel()
	}
	balanced(t, p)
	if r := p.Readiness(); !r.Ready {
		t.Errorf("afterwards: %v", p.ready.reasons())
	}
	p.mustClose(t)
	for k, c := range l.chains {
		if err := canon.VerifyChain(c); err != nil {
			t.Error(err)
		}
		var gaps []canon.Gap
		for _, s := range c {
			if g := s.Head().Gap; g != nil {
				gaps = append(gaps, *g)
			}
		}
		if lost := k.Tenant == canon.IDFromUint64(1); lost != (len(gaps) == 1) || lost && (gaps[0].From != 2 || gaps[0].Reason != "ledger_rollback" || gaps[0].Units != nil) {
			t.Errorf("%v declares %+v", k, gaps)
		}
	}
}

// TestHoleWithoutATipper: a sink that can't be asked holds what it has acked.
func TestHoleWithoutATipper(t *testing.T) {
	l, o := &ledger{}, macronode(t.TempDir())
	p := open(t, o, l)
	p.count(t, 1, 1, 1)
	flush(t, p)
	l.set(errDown)
	var made []canon.SealedSlice
	for n := uint64(10); n < 10000; n *= 10 {
		p.count(t, 1, 1, n)
		made = append(made, p.mustSeal(t)...)
	}
	_ = p.Close(context.Background())
	l.set(nil)
	damage(t, o.WAL.Dir, made[1])
	p = open(t, o, l)
	awaitStream(t, p)
	p.count(t, 1, 1, 10000)
	flush(t, p)
	p.mustClose(t)
	chain := l.chain(t)
	if err := canon.VerifyChain(chain); err != nil || l.units() != 11011 {
		t.Errorf("%d slices, %d units, %v, want 11011 units", len(chain), l.units(), err)
	}
}

// TestHostTakesWhatSurvivesAHole: with New throughout.
func TestHostTakesWhatSurvivesAHole(t *testing.T) {
	o := macronode(t.TempDir())
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.count(t, 1, 1, 1)
	chain := p.mustSeal(t)
	p.mustClose(t)
	l := &ledger{}
	l.set(errDown)
	p = open(t, o, l) // leaves three pending
	var made []canon.SealedSlice
	for n := uint64(10); n < 10000; n *= 10 {
		p.count(t, 1, 1, n)
		made = append(made, p.mustSeal(t)...)
	}
	_ = p.Close(context.Background())
	damage(t, o.WAL.Dir, made[1])
	if p, err = New(o); err != nil {
		t.Fatal(err)
	}
	chain = append(chain, p.mustSeal(t)...)
	p.count(t, 1, 1, 5)
	chain = append(chain, p.mustSeal(t)...)
	if u := balanced(t, p); u.Recorded != 1116 || u.Gap != 100 || u.Pending != 0 {
		t.Errorf("%+v, want 1116 recorded and 100 in the gap", u)
	}
	p.mustClose(t)
	if err := canon.VerifyChain(chain); err != nil || len(chain) != 4 {
		t.Errorf("%d slices, %v", len(chain), err)
	}
}

// slowTip answers no Tip that was asked before the pipeline's Close.
type slowTip struct {
	tipLedger
	p atomic.Pointer[Pipeline]
}

func (l *slowTip) Tip(ctx context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	if p := l.p.Load(); p == nil || !p.closed.Load() {
		<-ctx.Done()
		return 0, canon.Digest{}, false, ctx.Err()
	}
	return l.tipLedger.Tip(ctx, s)
}

// TestCloseSettlesWhatWaitsForATip: a process that ends before the ledger told its tip asks once more, instead of waiting for what nobody does.
func TestCloseSettlesWhatWaitsForATip(t *testing.T) {
	l := &slowTip{}
	o, _ := holed(t, &l.tipLedger, 2, 2)
	o.OpDeadline, o.DrainDeadline = 20*time.Millisecond, 30*time.Second
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: l}}
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l.p.Store(p)
	p.count(t, 1, 1, 100000)
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if l.units() != 111111-100 {
		t.Errorf("the ledger holds %d units, want all but the 100 of the hole", l.units())
	}
}
