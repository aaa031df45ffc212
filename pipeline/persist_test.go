package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// macronode are options with a WAL in dir, and windows so long that tests seal by hand.
func macronode(dir string) Options {
	return Options{
		Profile: Macronode, WAL: &wal.Options{Dir: dir, MaxBytes: 8 << 20, SegmentBytes: 64 << 10}, Window: time.Hour,
		DrainDeadline: 50 * time.Millisecond, Backoff: BackoffOptions{Base: time.Millisecond, Cap: 5 * time.Millisecond},
	}
}

var errDown = &export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")}

func (p *Pipeline) mustSeal(t *testing.T) []canon.SealedSlice {
	t.Helper()
	s, err := p.SealNow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *Pipeline) mustClose(t *testing.T) {
	t.Helper()
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, p *Pipeline) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// chain returns the only stream's slices, which must be a chain.
func (l *ledger) chain(t *testing.T) []canon.SealedSlice {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.chains) != 1 {
		t.Fatalf("the ledger holds %d chains, want 1", len(l.chains))
	}
	for _, c := range l.chains {
		return c
	}
	return nil
}

func TestRestartExportsWhatWasPending(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	p := open(t, macronode(dir), l)
	writer := p.Writer()
	p.count(t, 1, 1, 5)
	flush(t, p)
	l.set(errDown)
	p.count(t, 1, 1, 7)
	p.mustSeal(t)
	p.count(t, 1, 2, 11)
	var de *DrainError
	if err := p.Close(context.Background()); !errors.As(err, &de) || !de.Durable || de.Slices != 2 || de.Units["bytes"] != 18 {
		t.Fatalf("Close with the ledger down: got %v, want 2 slices and 18 units kept in the WAL", err)
	}

	p = open(t, macronode(dir), l) // still down
	if p.Writer() != writer {
		t.Errorf("writer after a restart: got %v, want %v", p.Writer(), writer)
	}
	if u := balanced(t, p); u.Recorded != 23 || u.Pending != 18 || u.Acked != 5 {
		t.Errorf("after a restart: %+v, want 23 recorded, 18 pending, 5 acked", u)
	}
	p.count(t, 1, 1, 100)
	p.mustSeal(t)
	l.set(nil)
	flush(t, p)
	if u := balanced(t, p); u.Recorded != 123 || u.Pending != 0 || u.Acked != 123 {
		t.Errorf("after draining: %+v, want 123 recorded and acked", u)
	}
	p.mustClose(t)
	c := l.chain(t)
	if l.units() != 123 || len(c) != 4 {
		t.Errorf("the ledger holds %d units in %d slices, want 123 in 4", l.units(), len(c))
	}
	if c[0].Head().Amnesia {
		t.Error("slices of a Macronode say amnesia")
	}

	p = open(t, macronode(dir), l) // all acked: nothing is put again
	if n := p.Stats().PendingSlices; n != 0 {
		t.Errorf("%d slices pending after a restart with all acked", n)
	}
	if u := balanced(t, p); u.Recorded != 123 || u.Acked != 123 {
		t.Errorf("after another restart: %+v", u)
	}
	p.mustClose(t)
}

func TestRestartWithOtherOptions(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	o := macronode(dir)
	o.Dimensions = []string{"disk", "tape"}
	p := open(t, o, l)
	k := Key{Tenant: canon.IDFromUint64(1), Subject: canon.IDFromUint64(1), Dimension: 4}
	if err := p.RecordSlow(&k, 9); err != nil {
		t.Fatal(err)
	}
	l.set(errDown)
	_ = p.Close(context.Background())

	bad := o
	bad.Window = 30 * time.Minute
	bad.Sinks = []export.Sink{{Name: "ledger", Exporter: l}}
	if p, err := Open(bad); !errors.Is(err, wal.ErrWALDirUnusable) || !strings.Contains(err.Error(), "window") {
		t.Errorf("another window: got %v, %v", p, err)
	}
	o.Dimensions = []string{"disk"}
	bad.Window, bad.Dimensions = o.Window, o.Dimensions
	if p, err := Open(bad); !errors.Is(err, wal.ErrWALDirUnusable) || !strings.Contains(err.Error(), `"tape"`) {
		t.Errorf("a dimension with pending slices is gone: got %v, %v", p, err)
	}
	o.Dimensions = []string{"tape", "disk"} // reordered: tape is 3 now
	p = open(t, o, l)
	if u := p.Stats().Units["tape"]; u.Pending != 9 {
		t.Errorf("tape after reordering: %+v, want 9 pending", u)
	}
	k.Dimension = 3
	if err := p.RecordSlow(&k, 1); err != nil {
		t.Fatal(err)
	}
	l.set(nil)
	flush(t, p)
	p.mustClose(t)
	if c := l.chain(t); len(c) != 2 || c[1].Head().Dimension != "tape" {
		t.Errorf("%d slices, the last of %q, want 2 of tape", len(c), c[len(c)-1].Head().Dimension)
	}
}

// hasReason waits until wal_ok is as wanted.
func walReady(t *testing.T, p *Pipeline, want bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if slices.Contains(p.Readiness().Missing, WALOK) != want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("wal_ok is not %v: %v", want, p.ready.reasons())
		}
	}
}

func TestDiskFaultsCoalesceAndPass(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE} {
		for _, op := range []vfs.Op{vfs.OpAny, vfs.OpWrite, vfs.OpSync} {
			t.Run(errno.Error()+" "+op.String(), func(t *testing.T) {
				l, disk := &ledger{}, &vfs.Inject{FS: vfs.OS}
				o := macronode(t.TempDir())
				o.WAL.FS = disk
				p := open(t, o, l)
				p.count(t, 1, 1, 1)
				flush(t, p)
				disk.Set(vfs.Rule{Op: op, Nth: 1, Forever: true, Err: errno})
				for range 3 {
					p.count(t, 1, 1, 10)
					if _, err := p.SealNow(context.Background()); !errors.Is(err, errno) {
						t.Fatalf("a seal on a broken disk: got %v, want %v", err, errno)
					}
					if u := balanced(t, p); u.Acked != 1 || u.Open == 0 {
						t.Fatalf("on a broken disk: %+v", u)
					}
				}
				walReady(t, p, false)
				if why := p.ready.reasons()[WALOK]; !errors.Is(why, errno) {
					t.Errorf("wal_ok is missing for %v, want %v", why, errno)
				}
				disk.Set()
				p.count(t, 1, 1, 100)
				flush(t, p)
				walReady(t, p, true)
				if u := balanced(t, p); u.Acked != 131 || l.units() != 131 {
					t.Errorf("after the disk is well: %+v, ledger %d, want 131", u, l.units())
				}
				p.mustClose(t)
				p = open(t, macronode(o.WAL.Dir), l)
				if u := balanced(t, p); u.Recorded != 131 || u.Pending != 0 {
					t.Errorf("after a restart: %+v", u)
				}
				p.mustClose(t)
				l.chain(t)
			})
		}
	}
}

func TestUnknownOutcomeIsSettledByTheSameBytes(t *testing.T) {
	l, disk := &ledger{}, &vfs.Inject{FS: vfs.OS}
	o := macronode(t.TempDir())
	o.WAL.FS = disk
	p := open(t, o, l)
	p.count(t, 1, 1, 1)
	flush(t, p)
	disk.Set(vfs.Rule{Op: vfs.OpSync, Nth: 1, Forever: true, Err: syscall.EIO}) // the bytes are written, whether they last nobody knows
	p.count(t, 1, 1, 10)
	if _, err := p.SealNow(context.Background()); !errors.Is(err, wal.ErrOutcomeUnknown) {
		t.Fatalf("got %v, want ErrOutcomeUnknown", err)
	}
	p.sealMu.Lock()
	staged := p.s.out[0].digest
	p.sealMu.Unlock()
	p.count(t, 1, 1, 100) // must not change the staged epoch
	disk.Set()
	flush(t, p)
	c := l.chain(t)
	if len(c) != 3 || c[1].Digest() != staged {
		t.Errorf("%d slices, the second %.15s, want 3, the second %.15s as it was staged", len(c), c[1].Digest(), staged)
	}
	if u := balanced(t, p); u.Acked != 111 || l.units() != 111 {
		t.Errorf("%+v, ledger %d, want 111", u, l.units())
	}
	p.mustClose(t)
}

func TestUnknownOutcomeAcrossARestart(t *testing.T) {
	l, disk := &ledger{}, &vfs.Inject{FS: vfs.OS}
	o := macronode(t.TempDir())
	o.WAL.FS = disk
	p := open(t, o, l)
	p.count(t, 1, 1, 1)
	flush(t, p)
	disk.Set(vfs.Rule{Op: vfs.OpSync, Nth: 1, Forever: true, Err: syscall.EIO})
	p.count(t, 1, 1, 10)
	err := p.Close(context.Background())
	var de *DrainError
	if !errors.Is(err, syscall.EIO) || !errors.As(err, &de) || de.Unsealed["bytes"] != 10 || de.Kept {
		t.Fatalf("Close on a broken disk: got %v, want EIO, and 10 units not sealed", err)
	}
	p = open(t, macronode(o.WAL.Dir), l)
	flush(t, p)
	if u := balanced(t, p); u.Recorded != l.units() || u.Acked != l.units() || l.units() != 1 && l.units() != 11 {
		t.Errorf("%+v, the ledger holds %d: want the slice whole or not at all", u, l.units())
	}
	p.mustClose(t)
	l.chain(t)
}

func TestBodiesBeyondMemoryAreReadBack(t *testing.T) {
	l := &ledger{}
	o := macronode(t.TempDir())
	o.PendingSlices, o.LaneCapacity = 4, 2
	p := open(t, o, l)
	l.set(errDown)
	want := uint64(0)
	for tenant := range uint64(20) {
		p.count(t, tenant, 1, tenant+1)
		want += tenant + 1
	}
	p.sealMu.Lock()
	done, err := p.seal(p.roll.cur, sealPeriod, nil) // beyond the caps
	p.sealMu.Unlock()
	if err != nil || done.slices != 20 {
		t.Fatalf("sealed %d slices, %v, want 20", done.slices, err)
	}
	for tenant := range uint64(20) { // no room: left open
		p.count(t, tenant, 1, 1)
		want++
	}
	p.mustSeal(t)
	if u := balanced(t, p); u.Open != 20 {
		t.Errorf("beyond the caps: %+v, want 20 open", u)
	}
	l.set(nil)
	for end := time.Now().Add(5 * time.Second); p.Stats().PendingSlices > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	flush(t, p)
	if l.units() != want {
		t.Errorf("the ledger holds %d units, want %d", l.units(), want)
	}
	p.mustClose(t)
}

func TestFullWALCoalescesAndPeriodsHaveAReserve(t *testing.T) {
	l := &ledger{}
	o := macronode(t.TempDir())
	o.WAL.MaxEntries = 5
	p := open(t, o, l)
	l.set(errDown)
	for i := range uint64(10) {
		p.count(t, 1, 1, 1<<i)
		p.mustSeal(t)
	}
	if n := p.Stats().PendingSlices; n != 5 {
		t.Errorf("%d slices pending, want the 5 that MaxEntries allows", n)
	}
	walReady(t, p, false)
	if why := p.ready.reasons()[WALOK]; !errors.Is(why, wal.ErrPersistenceFull) {
		t.Errorf("wal_ok is missing for %v, want ErrPersistenceFull", why)
	}
	p.sealMu.Lock()
	done, err := p.seal(p.roll.cur, sealPeriod, nil)
	p.sealMu.Unlock()
	if err != nil || done.slices != 1 {
		t.Fatalf("at a period boundary: %d slices, %v, want 1", done.slices, err)
	}
	l.set(nil)
	flush(t, p)
	walReady(t, p, true)
	if l.units() != 1023 {
		t.Errorf("the ledger holds %d units, want 1023", l.units())
	}
	p.mustClose(t)
}

func TestFailedPeriodEndGoesToTheOlderPeriod(t *testing.T) {
	l, disk := &ledger{}, &vfs.Inject{FS: vfs.OS}
	o := macronode(t.TempDir())
	o.WAL.FS, o.PeriodBoundary = disk, Hour
	p := open(t, o, l)
	p.count(t, 1, 1, 1)
	disk.Set(vfs.Rule{Op: vfs.OpAny, Nth: 1, Forever: true, Err: syscall.ENOSPC})
	p.sealMu.Lock()
	cur := p.roll.cur
	if _, err := p.seal(cur, sealPeriod, nil); err == nil {
		t.Fatal("a seal on a full disk succeeded")
	}
	disk.Set()
	next := window{cur.end, cur.end + 3600}
	if _, err := p.seal(next, sealPeriod, nil); err != nil {
		t.Fatal(err)
	}
	p.sealMu.Unlock()
	flush(t, p)
	if h := l.chain(t)[0].Head(); h.WindowStartS != cur.start || h.WindowEndS != cur.end {
		t.Errorf("window %d to %d, want the older period's, %d to %d", h.WindowStartS, h.WindowEndS, cur.start, cur.end)
	}
	p.mustClose(t)
}

// tipLedger is a ledger that can be asked for its tips.
type tipLedger struct {
	ledger
	tipErr error
}

func (l *tipLedger) Tip(_ context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chains[s]
	if l.tipErr != nil || len(c) == 0 {
		return 0, canon.Digest{}, false, l.tipErr
	}
	return c[len(c)-1].Head().Seq, c[len(c)-1].Digest(), true, nil
}

func TestLostAcksAreMadeUpByTheTip(t *testing.T) {
	l := &tipLedger{}
	o := macronode(t.TempDir())
	p := open(t, o, l)
	l.set(errDown)
	p.count(t, 1, 1, 5)
	s := p.mustSeal(t)
	_ = p.Close(context.Background())
	l.set(nil)
	if _, err := l.Put(context.Background(), s[0]); err != nil { // it had arrived, but its ack was lost
		t.Fatal(err)
	}
	p = open(t, o, l)
	if u := balanced(t, p); u.Acked != 5 || u.Pending != 0 {
		t.Errorf("%+v, want 5 acked by the tip", u)
	}
	p.mustClose(t)
}

func TestClonedDirectoryIsRefused(t *testing.T) {
	l := &tipLedger{}
	o := macronode(t.TempDir())
	p := open(t, o, l)
	l.set(errDown)
	p.count(t, 1, 1, 5)
	first := p.mustSeal(t)[0]
	_ = p.Close(context.Background())
	l.set(nil)
	// The other copy of the directory has gone on: the ledger holds a slice that this one never made.
	h := first.Head()
	d := first.Digest()
	h.Seq, h.Prev = 1, &d
	second, err := canon.Encode(h, []canon.Row{{Namespace: 1, Inc: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []canon.SealedSlice{first, second} {
		if _, err := l.Put(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: l, Required: true}}
	if _, err := Open(o); !errors.Is(err, ErrCloned) || !strings.Contains(err.Error(), "adopt --new-writer") {
		t.Errorf("got %v, want ErrCloned naming the way out", err)
	}
}

// TestRestoredDirectoryIsRefused: an older copy without anything pending.
func TestRestoredDirectoryIsRefused(t *testing.T) {
	l := &tipLedger{}
	o := macronode(t.TempDir())
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	flush(t, p)
	p.mustClose(t)
	old := t.TempDir()
	if err := os.CopyFS(filepath.Join(old, "wal"), os.DirFS(o.WAL.Dir)); err != nil {
		t.Fatal(err)
	}
	p = open(t, o, l)
	p.count(t, 1, 1, 6)
	flush(t, p)
	p.mustClose(t)
	o.WAL.Dir = filepath.Join(old, "wal")
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: l, Required: true}}
	if _, err := Open(o); !errors.Is(err, ErrCloned) {
		t.Errorf("got %v, want ErrCloned", err)
	}
	if _, _, err := wal.Adopt(*o.WAL); err != nil {
		t.Fatal(err)
	}
	p = open(t, o, l)
	p.count(t, 1, 1, 7)
	flush(t, p)
	p.mustClose(t)
	if l.units() != 18 {
		t.Errorf("after adopt the ledger holds %d units, want 18", l.units())
	}
}

// TestNewBootGetsANewWriter: with fsync by interval or never, commits that were exported may be gone after the machine went down.
func TestNewBootGetsANewWriter(t *testing.T) {
	for _, policy := range []wal.Policy{wal.OnSeal, wal.Interval, wal.Never} {
		l, boot := &ledger{}, byte(1)
		o := macronode(t.TempDir())
		o.WAL.Fsync = policy
		o.WAL.BootID = func() [16]byte { return [16]byte{boot} }
		p := open(t, o, l)
		writer := p.Writer()
		p.count(t, 1, 1, 5)
		flush(t, p)
		l.set(errDown)
		p.count(t, 1, 1, 7)
		_ = p.Close(context.Background())
		l.set(nil)
		boot = 2
		p = open(t, o, l)
		if kept := p.Writer() == writer; kept != (policy == wal.OnSeal) {
			t.Errorf("fsync %v: the writer was kept: %v", policy, kept)
		}
		p.count(t, 1, 1, 11)
		flush(t, p)
		if u := balanced(t, p); u.Recorded != 23 || u.Acked != 23 || l.units() != 23 {
			t.Errorf("fsync %v: %+v, the ledger holds %d, want 23", policy, u, l.units())
		}
		p.mustClose(t)
	}
}

func TestOptionalSinkIsLeftBehindAndHoldsNothing(t *testing.T) {
	l, slow := &ledger{}, &ledger{}
	slow.set(errDown)
	o := macronode(t.TempDir())
	o.LaneCapacity = 4
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: l, Required: true}, {Name: "copy", Exporter: slow}}
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		p.count(t, 1, 1, 1)
		flush(t, p)
	}
	if n := p.wal.Stats().Entries; n != 0 { // Flush returns once the log has heard of the acks
		t.Errorf("an optional sink keeps %d entries in the WAL", n)
	}
	_ = p.Close(context.Background())
	slow.set(nil)
	p, err = Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p.count(t, 1, 1, 1)
	flush(t, p)
	p.mustClose(t)
	if l.units() != 11 || slow.units() != 0 {
		t.Errorf("required %d units, optional %d: want 11, and 0 because its chain has a hole", l.units(), slow.units())
	}
}

// TestOptionalSinkGoesOnAfterAReplay: one that knows its tip refuses what does not follow it, and takes it once it has been brought up.
func TestOptionalSinkGoesOnAfterAReplay(t *testing.T) {
	l, copied := &ledger{}, &tipLedger{}
	o := macronode(t.TempDir())
	o.Sinks = []export.Sink{{Name: "ledger", Exporter: l, Required: true}, {Name: "copy", Exporter: copied}}
	life := func(n uint64) {
		p, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		p.count(t, 1, 1, n)
		flush(t, p)
		for end := time.Now().Add(5 * time.Second); p.routers[1].Stats().Queued+p.routers[1].Stats().Putting > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_ = p.Close(context.Background())
	}
	life(1)
	copied.set(&export.RefusedError{Kind: export.ErrGap})
	life(10) // refused: the copy has a hole from here on
	copied.set(nil)
	copied.mu.Lock()
	tip := len(copied.chains)
	copied.mu.Unlock()
	life(100)
	if copied.units() != 1 || tip != 1 {
		t.Fatalf("the copy holds %d units, want 1: what follows a hole is not taken", copied.units())
	}
	for _, s := range l.chain(t)[1:] { // benchrig replay
		if _, err := copied.Put(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	life(1000)
	if l.units() != 1111 || copied.units() != 1111 {
		t.Errorf("ledger %d units, copy %d, want 1111 each", l.units(), copied.units())
	}
}

func TestNewHandsOverWhatARestartFound(t *testing.T) {
	o := macronode(t.TempDir())
	l := &ledger{}
	l.set(errDown)
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	_ = p.Close(context.Background())
	o.Sinks = nil
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.count(t, 1, 1, 6)
	s := p.mustSeal(t)
	if len(s) != 2 || canon.VerifyChain(s) != nil {
		t.Errorf("%d slices, %v, want the pending one and a new one", len(s), canon.VerifyChain(s))
	}
	if s = p.mustSeal(t); len(s) != 0 {
		t.Errorf("%d slices handed over twice", len(s))
	}
	if u := balanced(t, p); u.Acked != 11 {
		t.Errorf("%+v, want 11 acked", u)
	}
	p.mustClose(t)
}
