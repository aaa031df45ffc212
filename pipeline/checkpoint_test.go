package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// checkpointed are a Macronode's options with checkpoints that tests make by hand, on a disk that forgets what was not synced.
func checkpointed(disk vfs.FS) Options {
	o := macronode("/var/wal")
	o.WAL.FS, o.CheckpointInterval, o.CapacityRows = disk, time.Hour, 256
	return o
}

func (p *Pipeline) mustSaveOpen(t *testing.T) {
	t.Helper()
	if err := p.saveOpen(); err != nil {
		t.Fatal(err)
	}
}

func (p *Pipeline) atRisk() u128 {
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	return p.figures().atRisk[0]
}

// perKey returns what the ledger holds, by tenant and subject.
func (l *ledger) perKey() map[[2]canon.ID]uint64 {
	out := map[[2]canon.ID]uint64{}
	for _, s := range l.all() {
		for _, r := range s.Rows() {
			out[[2]canon.ID{s.Head().Tenant, r.Subject}] += r.Inc
		}
	}
	return out
}

func TestCheckpointBoundsAPowerCut(t *testing.T) {
	l, disk := &ledger{}, vfs.NewCrash("/var")
	p := open(t, checkpointed(disk), l)
	p.count(t, 1, 1, 5)
	p.mustSaveOpen(t)
	p.count(t, 1, 1, 7)
	p.count(t, 2, 1, 11)
	if got := p.atRisk(); got != u64(18) {
		t.Errorf("at risk: got %v, want 18", got)
	}
	cut := disk.Clone(0, rand.New(rand.NewPCG(1, 1)))
	p.mustSaveOpen(t)
	if got := p.atRisk(); got != u64(0) {
		t.Errorf("at risk after a checkpoint: got %v, want 0", got)
	}
	p.count(t, 3, 1, 13)
	drop(p, l)

	p = open(t, checkpointed(cut), l) // the second checkpoint came after the cut
	if u := balanced(t, p); u.Recorded != 5 || u.Open != 5 {
		t.Errorf("after the first cut: %+v, want 5 open", u)
	}
	if got := p.atRisk(); got != u64(0) {
		t.Errorf("what a checkpoint holds is at risk: %v", got)
	}
	again := cut.Clone(0, rand.New(rand.NewPCG(1, 1))) // before anything was sealed: it is still in the checkpoint
	drop(p, l)
	p = open(t, checkpointed(again), l)
	if u := balanced(t, p); u.Open != 5 {
		t.Errorf("after the second cut: %+v, want 5 open", u)
	}
	p.count(t, 1, 1, 100)
	flush(t, p)
	sealed := again.Clone(0, rand.New(rand.NewPCG(1, 1)))
	drop(p, l)
	p = open(t, checkpointed(sealed), l) // the checkpoint is older than the seal
	if u := balanced(t, p); u.Open != 0 || u.Recorded != 105 {
		t.Errorf("after a seal and a cut: %+v, want 105 recorded and none open", u)
	}
	p.mustClose(t)
	if l.units() != 105 {
		t.Errorf("the ledger holds %d units, want 105", l.units())
	}
}

// TestCheckpointOfAStreamThatWaits: a stream that was left out of a seal keeps what the checkpoint has of it, and the windows that it was counted in.
func TestCheckpointOfAStreamThatWaits(t *testing.T) {
	l, disk := &ledger{down: errDown}, vfs.NewCrash("/var")
	o := checkpointed(disk)
	o.LaneCapacity = 1
	p := open(t, o, l)
	p.count(t, 1, 1, 1)
	p.mustSeal(t) // fills the lane
	p.count(t, 1, 1, 10)
	p.count(t, 2, 1, 100)
	p.mustSaveOpen(t)
	p.mustSeal(t) // takes tenant 2 alone
	if got := p.atRisk(); got != u64(0) {
		t.Errorf("at risk: got %v, want 0", got)
	}
	cut := disk.Clone(0, rand.New(rand.NewPCG(1, 1)))
	drop(p, l)
	l.set(errDown)
	o.WAL.FS = cut
	p = open(t, o, l)
	if u := balanced(t, p); u.Open != 10 || u.Pending != 101 {
		t.Errorf("after a cut: %+v, want 10 open and 101 pending", u)
	}
	l.set(nil)
	flush(t, p)
	p.mustClose(t)
	if l.units() != 111 {
		t.Errorf("the ledger holds %d units, want 111", l.units())
	}
}

// TestCheckpointIsVoid: where commits may be missing that held its counts, or where another writer has them, nothing is taken from a checkpoint.
func TestCheckpointIsVoid(t *testing.T) {
	start := func(t *testing.T) (Options, *ledger) {
		l, o := &ledger{}, macronode(t.TempDir())
		o.CheckpointInterval = time.Hour
		p := open(t, o, l)
		p.count(t, 1, 1, 5)
		p.mustSaveOpen(t)
		c := crashClone(t, o)
		drop(p, l)
		return c, l
	}
	name := func(o Options) string { return filepath.Join(o.WAL.Dir, "open.counters") }
	want := func(t *testing.T, o Options, l *ledger, open5 bool) {
		t.Helper()
		p := open(t, o, l)
		n := uint64(0)
		if open5 {
			n = 5
		}
		if u := balanced(t, p); u.Open != n {
			t.Errorf("open: got %d, want %d", u.Open, n)
		}
		drop(p, l)
	}
	t.Run("not", func(t *testing.T) {
		o, l := start(t)
		o.CheckpointInterval = 0 // what an earlier run has kept is taken all the same
		want(t, o, l, true)
	})
	t.Run("adopted", func(t *testing.T) {
		o, l := start(t)
		if _, _, err := wal.Adopt(*o.WAL); err != nil {
			t.Fatal(err)
		}
		want(t, o, l, false)
	})
	t.Run("new boot without syncs", func(t *testing.T) {
		o, l := start(t)
		o.CheckpointInterval = 0
		o.WAL.Fsync, o.WAL.BootID = wal.Never, func() [16]byte { return [16]byte{1} }
		p := open(t, o, l)
		p.count(t, 1, 1, 1)
		c := crashClone(t, o)
		drop(p, l)
		c.WAL.BootID = func() [16]byte { return [16]byte{2} }
		want(t, c, l, false)
	})
	t.Run("damaged", func(t *testing.T) {
		o, l := start(t)
		b, err := os.ReadFile(name(o))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b { // no bit of it may be taken for another count
			for _, bit := range []byte{1, 128} {
				b[i] ^= bit
				if err := os.WriteFile(name(o), b, 0o600); err != nil {
					t.Fatal(err)
				}
				if in, err := wal.Verify(*o.WAL); err == nil || in.CountersErr == nil {
					t.Fatalf("byte %d: verify finds nothing", i)
				}
				b[i] ^= bit
			}
		}
		for n := range len(b) {
			if err := os.WriteFile(name(o), b[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if in, err := wal.Verify(*o.WAL); err == nil || in.CountersErr == nil {
				t.Fatalf("cut at %d: verify finds nothing", n)
			}
		}
		want(t, o, l, false)
	})
	t.Run("another directory's", func(t *testing.T) {
		o, l := start(t)
		other, _ := start(t)
		copyFile(t, name(other), name(o))
		want(t, o, l, false)
	})
}

// TestCheckpointFailsAndComesBack: on a broken disk readiness says so; nothing else suffers, and the next one that is written makes it good.
func TestCheckpointFailsAndComesBack(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE} {
			l, disk := &ledger{}, &vfs.Inject{FS: vfs.NewCrash("/var")}
			p := open(t, checkpointed(disk), l)
			p.count(t, 1, 1, 5)
			p.mustSaveOpen(t)
			p.count(t, 1, 1, 7)
			disk.Set(vfs.Rule{Op: op, Nth: 1, Forever: true, Err: errno})
			if err := p.saveOpen(); !errors.Is(err, errno) {
				t.Fatalf("%v %v: got %v", op, errno, err)
			}
			walReady(t, p, false)
			if why := p.ready.reasons()[WALOK]; !errors.Is(why, errno) || !strings.Contains(why.Error(), "checkpoint") {
				t.Errorf("%v: wal_ok is missing for %v, want %v", op, why, errno)
			}
			if got := p.atRisk(); got != u64(7) {
				t.Errorf("%v %v: at risk: got %v, want 7", op, errno, got)
			}
			disk.Set()
			p.mustSaveOpen(t)
			walReady(t, p, true)
			if got := p.atRisk(); got != u64(0) {
				t.Errorf("%v %v: at risk: got %v, want 0", op, errno, got)
			}
			p.mustClose(t)
		}
	}
}

// TestCheckpointAtClose: what Close can't seal is kept.
func TestCheckpointAtClose(t *testing.T) {
	l, disk := &ledger{}, &vfs.Inject{FS: vfs.NewCrash("/var")}
	p := open(t, checkpointed(disk), l)
	p.count(t, 1, 1, 5)
	p.sealMu.Lock()
	p.streams.all()[0].halted = true
	p.sealMu.Unlock()
	err := p.Close(t.Context())
	var de *DrainError
	if !errors.As(err, &de) || de.Unsealed["bytes"] != 5 || !de.Kept || !strings.Contains(err.Error(), "kept for the next Open") {
		t.Errorf("Close: got %v, want 5 units unsealed and kept", err)
	}
	p = open(t, checkpointed(disk), l)
	p.count(t, 1, 1, 8)
	p.sealMu.Lock()
	p.streams.all()[0].halted = true
	p.sealMu.Unlock()
	disk.Set(vfs.Rule{Op: vfs.OpRename, Nth: 1, Forever: true, Err: syscall.ENOSPC})
	if err := p.Close(t.Context()); !errors.As(err, &de) || de.Unsealed["bytes"] != 13 || de.Kept {
		t.Errorf("Close on a broken disk: got %v, want 13 units not kept", err)
	}
	disk.Set()
	p = open(t, checkpointed(disk), l)
	flush(t, p)
	p.mustClose(t)
	if l.units() != 5 {
		t.Errorf("the ledger holds %d units, want 5", l.units())
	}
}

func TestCheckpointOptions(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) {}, ""},
		{func(o *Options) { o.CheckpointInterval = time.Millisecond }, "100ms"},
		{func(o *Options) { o.CheckpointInterval = -1 }, "100ms"},
		{func(o *Options) { o.WAL.Fsync = wal.Interval }, "OnSeal"},
		{func(o *Options) { o.WAL, o.Profile = nil, Micronode }, "OnSeal"},
	} {
		o := checkpointed(vfs.NewCrash("/var"))
		c.change(&o)
		o.Sinks = []export.Sink{{Name: "ledger", Exporter: &ledger{}}}
		p, err := Open(o)
		if c.want == "" {
			if err != nil {
				t.Fatal(err)
			}
			p.mustClose(t)
		} else if err == nil || !strings.Contains(err.Error(), "CheckpointInterval") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want CheckpointInterval and %s", err, c.want)
		}
	}
}

// TestPowerCutsBetweenCheckpoints lives many lives: counts, seals, checkpoints, a ledger that comes and goes, and in each a power cut behind a random
// call to the disk, after which of what was not synced nothing, half or all is left. A key's units in the ledger are at least what was durable and
// at most what was counted, whatever the cut met.
func TestPowerCutsBetweenCheckpoints(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := &cutRig{t: t, rng: rand.New(rand.NewPCG(seed, 7)), l: &ledger{}, disk: vfs.NewCrash("/var")}
			for range 80 {
				r.life()
				if r.rng.IntN(2) == 0 {
					r.drain()
				}
			}
			if r.restored == 0 {
				t.Error("no life found anything in a checkpoint")
			}
		})
	}
}

// cutRig is one run of TestPowerCutsBetweenCheckpoints.
type cutRig struct {
	t        *testing.T
	rng      *rand.Rand
	l        *ledger
	disk     *vfs.Crash
	counted  [4][3]uint64 // by tenant and subject
	durable  [4][3]uint64
	restored int
}

func (r *cutRig) life() {
	least, most := r.durable, r.counted // what was lost in earlier lives is in counted for ever, and never durable
	note := func(i int) {
		for k := range r.counted[i] {
			r.durable[i][k] = least[i][k] + r.counted[i][k] - most[i][k]
		}
	}
	var mu sync.Mutex
	var cut *vfs.Crash
	left, keep := 1+r.rng.IntN(80), []int{0, 50, 100}[r.rng.IntN(3)]
	if r.rng.IntN(4) == 0 {
		left = 1 + r.rng.IntN(12) // in recovery
	}
	chance := rand.New(rand.NewPCG(r.rng.Uint64(), 0))
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			cut = r.disk.Clone(keep, chance)
		}
	}
	on := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return cut == nil
	}
	r.l.set(errDown)
	o := checkpointed(&stepFS{r.disk, step})
	o.DrainDeadline = time.Millisecond
	o.LaneCapacity, o.PendingSlices, o.MaxRowsPerSlice = 1+r.rng.IntN(2), 1+r.rng.IntN(4), 2
	p := open(r.t, o, r.l)
	if balanced(r.t, p).Open > 0 {
		r.restored++
	}
	for on() {
		switch r.rng.IntN(8) {
		case 0:
			made, err := p.SealNow(r.t.Context())
			if err != nil {
				r.t.Fatal(err)
			}
			for _, s := range made {
				if on() {
					note(int(s.Head().Tenant[15]) - 1)
				}
			}
		case 1:
			p.mustSaveOpen(r.t)
			for i := range r.counted {
				if on() {
					note(i)
				}
			}
		case 2:
			if err := p.wal.Maintain(); err != nil {
				r.t.Fatal(err)
			}
		case 3:
			r.l.set(nil)
			time.Sleep(time.Duration(r.rng.IntN(300)) * time.Microsecond)
			r.l.set(errDown)
		default:
			i, k, n := r.rng.IntN(len(r.counted)), r.rng.IntN(len(r.counted[0])), 1+r.rng.Uint64N(1000)
			p.count(r.t, uint64(i+1), uint64(k+1), n)
			r.counted[i][k] += n
		}
	}
	r.l.set(errDown)
	_ = p.Close(r.t.Context())
	r.disk = cut
}

// drain lets a life without a cut bring everything to the ledger, and compares.
func (r *cutRig) drain() {
	r.l.set(nil)
	p := open(r.t, checkpointed(r.disk), r.l)
	flush(r.t, p)
	p.mustClose(r.t)
	got := r.l.perKey()
	for i := range r.counted {
		for k := range r.counted[i] {
			n := got[[2]canon.ID{canon.IDFromUint64(uint64(i + 1)), canon.IDFromUint64(uint64(k + 1))}]
			if n < r.durable[i][k] || n > r.counted[i][k] {
				r.t.Fatalf("tenant %d subject %d: the ledger holds %d, want %d to %d", i, k, n, r.durable[i][k], r.counted[i][k])
			}
			r.counted[i][k], r.durable[i][k] = n, n
		}
	}
}
