//go:build linux && (amd64 || arm64) && !race && !purego

package shardmap

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sweepRig fills a file, seals, and leaves some rows idle and some with open units: 3 of each of the keys 10 to 19.
func (r *fileRig) sweepRig(seals int) {
	for i := range 40 {
		record(r.t, r.m, key(i), 10)
	}
	for range seals {
		r.seal(true)
		for i := range 20 {
			record(r.t, r.m, key(i), 1)
		}
	}
	if seals > 0 {
		r.seal(true)
	}
	for i := 10; i < 20; i++ {
		record(r.t, r.m, key(i), 3)
	}
}

func (r *fileRig) sweep(idle int) (rep SweepReport) {
	r.t.Helper()
	rep, err := r.m.Sweep(idle)
	if err != nil {
		r.t.Fatal(err)
	}
	return rep
}

// TestFileSweeps: idle rows leave a file while it runs, so that their places are taken by others; handles and the file's time live on; what is open
// is open in the new file, and nothing else.
func TestFileSweeps(t *testing.T) {
	r := newFileRig(t).open()
	r.sweepRig(2)
	idle := key(30)
	h, st := r.m.Counter(&idle, 0)
	if st != OK {
		t.Fatal(st)
	}
	past := time.Unix(1000, 0)
	if err := os.Chtimes(r.fc.Path, past, past); err != nil {
		t.Fatal(err)
	}
	rep := r.sweep(1)
	if !rep.Rebuilt || rep.Evicted != 30 || rep.Rows != 10 {
		t.Fatalf("%+v, want 30 of 40 rows evicted", rep)
	}
	if info, err := os.Stat(r.fc.Path); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("the file's time: got %v, %v, want %v", info.ModTime(), err, past)
	}
	r.wantOpen(30)
	if h.Add(5) != OK {
		t.Error("a handle on an evicted row")
	}
	for i := 100; i < 139; i++ { // a full map takes new keys
		record(t, r.m, key(i), 1)
	}
	recorded, open := make([]U128, 3), make([]U128, 3)
	r.m.Totals(recorded, open)
	if sum := recorded[0].Lo + recorded[1].Lo + recorded[2].Lo; sum != 400+40+30+5+39 {
		t.Errorf("recorded: got %d, want %d", sum, 400+40+30+5+39)
	}
	r.open().wantOpen(30 + 5 + 39)
	if got := r.seal(true); got != 74 {
		t.Errorf("sealed: got %d, want 74", got)
	}
	r.sweep(1)
	r.sweep(1) // without a commit between: the file was made after the same one
	record(t, r.m, key(1), 2)
	r.open().wantOpen(2)
	r.seal(true)
	r.open().wantOpen(0)
}

// TestFileSweepKilledAtEveryStep: whatever step of a sweep a kill follows, the next start finds what was open, once; before any commit, and after.
func TestFileSweepKilledAtEveryStep(t *testing.T) {
	for seals, want := range []uint64{400 + 30, 30, 30} {
		r := newFileRig(t)
		var clones []string
		on := false
		r.fc.Step = func() {
			if !on {
				return
			}
			b, err := os.ReadFile(r.fc.Path)
			if err != nil {
				t.Fatal(err)
			}
			clones = append(clones, fmt.Sprintf("%s.%d", r.fc.Path, len(clones)))
			if err := os.WriteFile(clones[len(clones)-1], b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.open().sweepRig(seals)
		if seals == 0 { // nothing is idle: other columns are the reason
			old := runtime.GOMAXPROCS(7)
			defer runtime.GOMAXPROCS(old)
		}
		on = true
		if rep := r.sweep(1); !rep.Rebuilt {
			t.Fatalf("%+v", rep)
		}
		on = false
		if len(clones) < 4 {
			t.Fatalf("%d steps", len(clones))
		}
		for i, path := range clones {
			c := &fileRig{t: t, cfg: r.cfg, fc: r.fc}
			c.fc.Path, c.fc.Step = path, nil
			c.open().wantOpen(want)
			if t.Failed() {
				t.Fatalf("%d seals, step %d", seals, i)
			}
			c.kill()
		}
	}
}

// TestFileSweepFails: where the new file can't be made or take its name, the old one goes on with everything.
func TestFileSweepFails(t *testing.T) {
	r := newFileRig(t)
	block := ""
	r.fc.Step = func() {
		if block != "" {
			if err := os.Remove(block); err != nil {
				t.Fatal(err)
			}
			block = ""
		}
	}
	r.open().sweepRig(1)
	for _, how := range []string{"make", "rename"} {
		tmp := r.fc.Path + ".tmp"
		if how == "make" {
			if err := os.MkdirAll(filepath.Join(tmp, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		} else {
			block = tmp
		}
		if rep, err := r.m.Sweep(1); err == nil || rep.Rebuilt {
			t.Fatalf("%s: %+v, %v", how, rep, err)
		}
		if err := os.RemoveAll(tmp); err != nil {
			t.Fatal(err)
		}
		record(t, r.m, key(10), 1)
	}
	r.wantOpen(32)
	if rep := r.sweep(1); !rep.Rebuilt {
		t.Errorf("%+v", rep)
	}
	r.wantOpen(32).open().wantOpen(32)
}

// TestFileSweepsBesideRecorders: recorders that never rest, seals and sweeps; everything is in one seal or open, in this process and in the next.
func TestFileSweepsBesideRecorders(t *testing.T) {
	r := newFileRig(t)
	r.cfg.Capacity = 400
	r.open()
	var counted atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 4 {
		bound := key(1000 + g)
		h, st := r.m.Counter(&bound, uint32(bound.Dimension))
		if st != OK {
			t.Fatal(st)
		}
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				k := key((n/50)*4%300 + g)
				if r.m.Add(&k, 1) == OK || r.m.Insert(&k, uint32(k.Dimension), 1) == OK {
					counted.Add(1)
				}
				if n%3 == 0 && h.Add(1) == OK {
					counted.Add(1)
				}
			}
		})
	}
	var sealed uint64
	rebuilt := 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) || rebuilt == 0; {
		sealed += r.seal(true)
		if r.sweep(1).Rebuilt {
			rebuilt++
		}
	}
	close(stop)
	wg.Wait()
	last := r.m.Epoch()
	r.open()
	if got := r.seal(false); sealed+got != counted.Load() || r.rep.SetAside != "" {
		t.Errorf("sealed %d in %d epochs and %d sweeps, open after a restart %d, counted %d: %+v", sealed, last, rebuilt, got, counted.Load(), r.rep)
	}
}
