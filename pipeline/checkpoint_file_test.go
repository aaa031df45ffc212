//go:build linux && (amd64 || arm64) && !race && !purego

package pipeline

import (
	"os"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// TestCheckpointBesideACounterFile: the file has all that a checkpoint has, and more; without it, or where it can't be used, the checkpoint is taken,
// into the new file before that has its name. Whoever changes from one to the other and back counts nothing twice.
func TestCheckpointBesideACounterFile(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	o.CheckpointInterval = time.Hour
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	p.mustSaveOpen(t)
	p.count(t, 1, 1, 7)
	whole, lost, cut, heap := crashClone(t, o), crashClone(t, o), crashClone(t, o), crashClone(t, o)
	drop(p, l)
	want := func(o Options, open5 uint64) Options {
		t.Helper()
		p := open(t, o, l)
		if u := balanced(t, p); u.Open != open5 {
			t.Errorf("open: got %d, want %d", u.Open, open5)
		}
		c := crashClone(t, o)
		drop(p, l)
		return c
	}
	want(whole, 12)

	if err := os.Remove(lost.CounterFile); err != nil {
		t.Fatal(err)
	}
	again := want(lost, 5)
	want(again, 5) // from the file now
	if err := os.Truncate(cut.CounterFile, 5000); err != nil {
		t.Fatal(err)
	}
	want(cut, 5)

	file := heap.CounterFile
	heap.CounterFile, heap.CheckpointInterval = "", 0
	p = open(t, heap, l) // on the heap for once, from the checkpoint; the file lies idle
	flush(t, p)
	p.mustClose(t)
	heap.CounterFile = file
	p = open(t, heap, l)
	if u := balanced(t, p); u.Open != 0 || u.Recorded != 5 {
		t.Errorf("the idle file: %+v, want nothing of it", u)
	}
	p.mustClose(t)
	if l.units() != 5 {
		t.Errorf("the ledger holds %d units, want 5", l.units())
	}
}

// TestKilledWhileACheckpointIsRestored: behind every call of a recovery that takes a checkpoint, the next one finds it all, once.
func TestKilledWhileACheckpointIsRestored(t *testing.T) {
	l, o := &ledger{}, mapped(t)
	o.CheckpointInterval, o.DrainDeadline = time.Hour, time.Millisecond
	p := open(t, o, l)
	p.count(t, 1, 1, 5)
	p.mustSaveOpen(t)
	cut := crashClone(t, o)
	drop(p, l)
	if err := os.Remove(cut.CounterFile); err != nil {
		t.Fatal(err)
	}
	l.set(errDown)
	var clones []Options
	on, w := true, *cut.WAL
	w.FS = &stepFS{vfs.OS, func() {
		if on {
			clones = append(clones, crashClone(t, cut))
		}
	}}
	watched := cut
	watched.WAL = &w
	p = open(t, watched, l)
	p.mustSeal(t)
	on = false
	_ = p.Close(t.Context())
	for i, c := range clones {
		p := open(t, c, l)
		if u := balanced(t, p); u.Recorded != 5 {
			t.Errorf("clone %d of %d: %+v, want 5 recorded", i, len(clones), u)
		}
		_ = p.Close(t.Context())
	}
	if len(clones) < 10 {
		t.Errorf("only %d steps", len(clones))
	}
}
