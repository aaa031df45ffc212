//go:build linux && (amd64 || arm64) && !race && !purego

package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/shardmap"
	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// mapped are a Macronode's options with a counter file.
func mapped(t testing.TB) Options {
	o := macronode(filepath.Join(shared(t), "wal"))
	o.CounterFile = filepath.Join(filepath.Dir(o.WAL.Dir), "counters")
	o.CapacityRows, o.Shards = 64, 1
	return o
}

func TestCountersOutliveTheProcess(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	flush(t, p)
	p.count(t, 1, 1, 7)
	p.count(t, 2, 1, 11)
	p.count(t, 3, 1, 1<<62)
	p.count(t, 3, 1, 1<<62) // beyond what a cell holds
	c := crashClone(t, o)
	drop(p, l)

	p = open(t, c, l)
	flush(t, p)
	if u := balanced(t, p); u.Recorded != 23+1<<63 || u.Acked != u.Recorded {
		t.Errorf("after a crash: %+v, want %d recorded and acked", u, uint64(23+1<<63))
	}
	p.mustClose(t)
	if l.units() != 23+1<<63 {
		t.Errorf("the ledger holds %d units, want %d", l.units(), uint64(23+1<<63))
	}
	p = open(t, c, l)
	if u := balanced(t, p); u.Open != 0 || u.Recorded != 23+1<<63 {
		t.Errorf("after a clean restart: %+v", u)
	}
	p.mustClose(t)
}

// TestKilledAfterEveryStep kills a seal, and each recovery after it, behind every call that changes a file. Counters, bases and the committed word
// change between those calls, so each of the protocol's steps has a kill before and behind it.
func TestKilledAfterEveryStep(t *testing.T) {
	l := &ledger{}
	l.set(errDown) // acked is nothing: all that was recorded must be pending or open
	o := mapped(t)
	o.DrainDeadline = time.Millisecond
	var clones []Options
	watch := func(o Options) (Options, func() []Options) {
		var out []Options
		on := true
		w := *o.WAL
		w.FS = &stepFS{vfs.OS, func() {
			if on {
				out = append(out, crashClone(t, o))
			}
		}}
		o.WAL = &w
		return o, func() []Options { on = false; return out }
	}
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	p.mustSeal(t)
	p.count(t, 1, 1, 7)
	p.count(t, 2, 1, 11)
	_ = p.Close(context.Background())

	w, stop := watch(o)
	p = open(t, w, l)
	p.count(t, 1, 1, 100)
	before := crashClone(t, o)
	p.mustSeal(t)
	p.count(t, 1, 1, 1000)
	clones = append(stop(), before)
	after := crashClone(t, o)
	_ = p.Close(context.Background())

	least, again := uint64(23), 0
	check := func(o Options, want ...uint64) {
		t.Helper()
		p := open(t, o, l)
		u := balanced(t, p)
		for _, w := range want {
			if u.Recorded == w {
				_ = p.Close(context.Background())
				return
			}
		}
		t.Errorf("recovered %+v, want one of %v recorded", u, want)
		_ = p.Close(context.Background())
	}
	for i, c := range clones {
		if i%3 == 0 { // and killed once more in each step of its own recovery
			w, stop := watch(crashClone(t, c))
			p := open(t, w, l)
			for _, cc := range stop() {
				check(cc, least, least+100)
				again++
			}
			_ = p.Close(context.Background())
		}
		check(c, least, least+100)
	}
	check(before, least+100)
	check(after, least+1100)
	t.Logf("%d kills in a seal or recovery, %d more in the recovery after it", len(clones), again)
	if len(clones) < 8 || again < 20 {
		t.Errorf("%d and %d kills: the steps are not watched", len(clones), again)
	}
}

func TestForeignAndStaleCounterFiles(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	old := crashClone(t, o)
	flush(t, p)
	p.count(t, 1, 1, 7)
	flush(t, p)
	p.count(t, 1, 1, 11) // open
	now := crashClone(t, o)
	drop(p, l)

	setAside := func(name string, o Options, want uint64) {
		t.Run(name, func(t *testing.T) {
			o = crashClone(t, o)
			p := open(t, o, &ledger{})
			defer p.Close(context.Background())
			if u := balanced(t, p); u.Recorded != want {
				t.Errorf("%+v, want %d recorded", u, want)
			}
			if _, err := os.Stat(o.CounterFile + ".bad"); err != nil {
				t.Errorf("the file is not set aside: %v", err)
			}
		})
	}
	c := crashClone(t, now)
	copyFile(t, old.CounterFile, c.CounterFile)
	setAside("an older copy restored", c, 12)

	c = crashClone(t, now)
	b, err := os.ReadFile(c.CounterFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.CounterFile, b[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	setAside("a cut file", c, 12)

	refused := func(name string, o Options) {
		t.Helper()
		o.Sinks = []export.Sink{{Name: "ledger", Exporter: &ledger{}}}
		if p, err := Open(o); !errors.Is(err, table.ErrFileForeign) {
			t.Errorf("%s: got %v, want ErrFileForeign", name, err)
			if err == nil {
				_ = p.Close(context.Background())
			}
		}
	}
	copy(b, "SOMEBODY")
	if err := os.WriteFile(c.CounterFile, b, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("foreign content", c)
	other := mapped(t)
	p = open(t, other, &ledger{})
	p.mustClose(t)
	copyFile(t, other.CounterFile, c.CounterFile)
	refused("another writer's", c)

	c = crashClone(t, now)
	if _, _, err := wal.Adopt(*c.WAL); err != nil {
		t.Fatal(err)
	}
	setAside("after adopt", c, 12)

	c = crashClone(t, now)
	if err := os.RemoveAll(c.WAL.Dir); err != nil {
		t.Fatal(err)
	}
	refused("the WAL's directory deleted", c)
	if err := os.Rename(c.CounterFile, c.CounterFile+".old"); err != nil { // the way out
		t.Fatal(err)
	}
	p = open(t, c, &ledger{})
	p.mustClose(t)

	c = crashClone(t, now)
	if err := os.Remove(c.CounterFile); err != nil {
		t.Fatal(err)
	}
	p = open(t, c, &ledger{})
	if u := balanced(t, p); u.Recorded != 12 {
		t.Errorf("counter file deleted: %+v, want what was sealed, 12", u)
	}
	_ = p.Close(context.Background())

	p = open(t, now, l) // unharmed
	if u := balanced(t, p); u.Recorded != 23 {
		t.Errorf("%+v, want 23 recorded", u)
	}
	o2 := now
	o2.Sinks = []export.Sink{{Name: "ledger", Exporter: l}}
	if _, err := Open(o2); err == nil {
		t.Error("a second opener of the WAL was let in")
	}
	o2.WAL = macronode(filepath.Join(shared(t), "wal")).WAL
	if _, err := Open(o2); !errors.Is(err, table.ErrFileBusy) {
		t.Errorf("a second opener of the counter file: got %v, want ErrFileBusy", err)
	}
	flush(t, p)
	p.mustClose(t)
	if l.units() != 23 {
		t.Errorf("the ledger holds %d, want 23", l.units())
	}
}

func TestCounterFileMustBeOnATmpfs(t *testing.T) {
	o := mapped(t)
	dir := t.TempDir()
	if info, err := vfs.OS.StatFS(dir); err != nil || info.Tmpfs {
		t.Skip("the temporary directory is a tmpfs")
	}
	o.CounterFile = filepath.Join(dir, "counters")
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: &ledger{}}}
	if _, err := Open(o); !errors.Is(err, table.ErrFileSystem) {
		t.Errorf("got %v, want ErrFileSystem", err)
	}
	if _, err := os.Stat(o.CounterFile); err == nil {
		t.Error("a counter file was made there all the same")
	}
}

func TestColumnsAndDimensionsChangeAcrossRestarts(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	l, o := &ledger{}, mapped(t)
	o.ExportWorkers = 1
	o.Dimensions = []string{"disk", "tape"}
	want := uint64(0)
	for i, procs := range []int{1, 8, 2, 1} {
		runtime.GOMAXPROCS(procs)
		p := open(t, o, l)
		dim := p.dimension(t, "tape")
		for n := range uint64(50) {
			k := Key{Tenant: canon.IDFromUint64(n % 3), Subject: canon.IDFromUint64(n), Dimension: dim}
			if p.m.Add(k.Wide(), n) != shardmap.OK {
				if err := p.RecordSlow(&k, n); err != nil {
					t.Fatal(err)
				}
			}
			want += n
			if n == 25 && i%2 == 0 {
				p.mustSeal(t)
			}
			if n == 30 {
				runtime.GOMAXPROCS(max(1, 9-procs)) // more Ps than columns: the rest share one
			}
		}
		if u := p.Stats().Units["tape"]; u.Recorded != want || u.Imbalance().Sign() != 0 {
			t.Fatalf("life %d: %+v, want %d recorded", i, u, want)
		}
		c := crashClone(t, o)
		for p.Stats().PendingSlices > 0 {
			runtime.Gosched()
		}
		drop(p, l)
		o = c
		o.Dimensions[0], o.Dimensions[1] = o.Dimensions[1], o.Dimensions[0]
	}
	p := open(t, o, l)
	flush(t, p)
	p.mustClose(t)
	if l.units() != want {
		t.Errorf("the ledger holds %d units, want %d", l.units(), want)
	}
}

func (p *Pipeline) dimension(t *testing.T, name string) Dimension {
	t.Helper()
	d, ok := p.dimensionOf(name)
	if !ok {
		t.Fatalf("no dimension %q", name)
	}
	return d
}

// TestLogThatLostCommitsGetsANewWriter: the counter file has seen a commit that the log no longer has. It may have been exported.
func TestLogThatLostCommitsGetsANewWriter(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	flush(t, p)
	early := crashClone(t, o)
	p.count(t, 1, 1, 7)
	flush(t, p) // in the ledger
	p.count(t, 1, 1, 11)
	late := crashClone(t, o)
	writer := p.Writer()
	drop(p, l)
	lost := early // the log of then, the counters of now
	copyFile(t, late.CounterFile, lost.CounterFile)
	p = open(t, lost, l)
	if p.Writer() == writer {
		t.Error("the writer was kept: its seqs could be used twice")
	}
	flush(t, p)
	p.mustClose(t)
	if l.units() != 23 {
		t.Errorf("the ledger holds %d units, want 23", l.units())
	}
}

// setClock is a clock that stands where it is set.
type setClock struct{ now atomic.Int64 }

func (c *setClock) set(t time.Time)          { c.now.Store(t.UnixNano()) }
func (c *setClock) Now() time.Time           { return time.Unix(0, c.now.Load()) }
func (c *setClock) Monotonic() time.Duration { return time.Duration(c.now.Load()) }

// TestOpenCountsKeepTheirPeriod: what was counted before a period's end is sealed into that period, however often the process is killed meanwhile.
func TestOpenCountsKeepTheirPeriod(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	evening := time.Date(2031, 5, 6, 22, 59, 30, 0, time.UTC)
	clock := &setClock{}
	clock.set(evening)
	o.Clock, o.Window = clock, 15*time.Minute
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	first := crashClone(t, o)
	p.sealMu.Lock()
	clock.set(evening.Add(15 * time.Minute))
	p.catchUp(nil) // seals 22:45 to 23:00
	p.sealMu.Unlock()
	p.count(t, 1, 1, 7)
	second := crashClone(t, o)
	drop(p, l)

	for _, c := range []struct {
		o          Options
		start, end time.Time
		units      uint64
	}{
		{first, evening.Truncate(15 * time.Minute), time.Date(2031, 5, 7, 0, 0, 0, 0, time.UTC), 5},
		{second, time.Date(2031, 5, 6, 23, 0, 0, 0, time.UTC), time.Date(2031, 5, 7, 0, 0, 0, 0, time.UTC), 12},
	} {
		clock.set(time.Date(2031, 5, 7, 9, 0, 0, 0, time.UTC)) // the next day
		down := &ledger{}
		down.set(errDown)
		p := open(t, c.o, down)
		again := crashClone(t, c.o) // killed while it recovers, or right after
		_ = p.Close(context.Background())
		l := &ledger{}
		p = open(t, again, l)
		p.count(t, 1, 1, 100)
		flush(t, p)
		p.mustClose(t)
		chain := l.chain(t)
		var last canon.Head
		for _, s := range chain[:len(chain)-1] {
			last = s.Head()
		}
		if last.WindowStartS != uint64(c.start.Unix()) || last.WindowEndS != uint64(c.end.Unix()) {
			t.Errorf("open counts are dated %v to %v, want %v to %v", time.Unix(int64(last.WindowStartS), 0).UTC(), time.Unix(int64(last.WindowEndS), 0).UTC(), c.start, c.end)
		}
		if h := chain[len(chain)-1].Head(); h.WindowStartS != uint64(clock.Now().Unix()) {
			t.Errorf("what was counted since is dated from %v", time.Unix(int64(h.WindowStartS), 0).UTC())
		}
		if l.units() != 100+c.units {
			t.Errorf("the ledger holds %d units, want %d", l.units(), 100+c.units)
		}
	}
}

// TestCounterFileEvictsWhileItRuns: more keys than fit come and go in one life; at each turn a kill loses nothing and doubles nothing.
func TestCounterFileEvictsWhileItRuns(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	p := open(t, o, l)
	sum := uint64(0)
	for round := range uint64(6) {
		for i := range uint64(40) {
			p.count(t, 1, 1000*round+i, i+1)
			sum += i + 1
		}
		p.count(t, 1, 1, 5)
		sum += 5
		flush(t, p)
		p.count(t, 2, 1, 7) // open while the file changes
		sum += 7
		p.sealMu.Lock()
		rep, err := p.m.Sweep(1)
		rep2, err2 := p.m.Sweep(1)
		p.sealMu.Unlock()
		if err := errors.Join(err, err2); err != nil || rep.Evicted+rep2.Evicted < 40 {
			t.Fatalf("round %d: %+v, %+v, %v", round, rep, rep2, err)
		}
		p.count(t, 2, 1, 1)
		sum++
		c := crashClone(t, o)
		drop(p, l)
		o = c
		p = open(t, o, l)
		if u := balanced(t, p); u.Open != 8 || u.Recorded != sum {
			t.Fatalf("round %d: %+v, want 8 open of %d", round, u, sum)
		}
		p.sealMu.Lock()
		_, err = p.m.Sweep(1)
		p.sealMu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	flush(t, p)
	p.mustClose(t)
	if l.units() != sum {
		t.Errorf("the ledger holds %d units, want %d", l.units(), sum)
	}
}
