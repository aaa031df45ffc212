package wal

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// TestCrashClones cuts the power at every file-system call of a log under random use, with 0, 50 and 100 % of what was not synced surviving, and
// recovers from each; some recoveries are cut too.
func TestCrashClones(t *testing.T) {
	clones := 10_000
	if raceEnabled || testing.Short() {
		clones = 400
	}
	for seed := uint64(1); clones > 0; seed++ {
		clones -= crashRun(t, seed, min(clones, 500))
		if t.Failed() {
			return
		}
	}
}

// crashRun makes n clones of one run.
func crashRun(t *testing.T, seed uint64, n int) (done int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrash("/var")
	tap := vfs.NewInject(disk)
	o := testOptions(tap)
	o.SegmentBytes = 4 << 10
	l, rec := mustOpen(t, o)
	m := newModel(rec.Writer)
	cut := func(string) bool {
		if done < n && rng.IntN(3) == 0 {
			for _, keep := range []int{0, 50, 100} {
				done++
				checkClone(t, disk.Clone(keep, rng), m.clone(), seed, done)
			}
			if rng.IntN(3) == 0 {
				done++
				checkKilled(t, disk.Fork(), m.clone(), seed, done)
			}
		}
		return false
	}
	tap.Set(vfs.Rule{Op: vfs.OpAny, Match: cut})
	for done < n && !t.Failed() {
		if got := l.Stats().Entries; got != m.pending() {
			t.Fatalf("seed %d: got %d pending entries, want %d", seed, got, m.pending())
		}
		switch k := rng.IntN(21); {
		case k < 11:
			c := m.unsettled
			if c == nil {
				c = m.randomCommit(rng)
			}
			if rng.IntN(10) == 0 {
				disk.FailSync(1+rng.IntN(3), 1+rng.IntN(3), syscall.EIO)
			}
			m.unsettled = c
			err := l.Append(c)
			switch {
			case err == nil:
				m.apply(c)
				m.unsettled = nil
			case errors.Is(err, ErrPersistenceFull) || errors.Is(err, ErrNotWritten):
				m.unsettled = nil
			case !errors.Is(err, ErrOutcomeUnknown):
				t.Fatalf("seed %d: %v", seed, err)
			}
		case k < 15:
			for _, key := range slices.SortedFunc(maps.Keys(m.streams), func(a, b Stream) int {
				return strings.Compare(a.String(), b.String())
			}) {
				s := m.streams[key]
				if s.next > s.acked && rng.IntN(2) == 0 {
					seq := s.acked + rng.Uint64N(s.next-s.acked)
					m.ack(key, seq) // before: a clone may already have it
					l.Ack(key, seq)
				}
			}
		case k < 18:
			_ = l.Maintain() // its failures show later, if they matter
		case k == 18 && m.unsettled == nil:
			disk.FailSync(0, 0, nil)
			if err := l.Close(); err == nil {
				l, rec = mustOpen(t, o)
				if err := m.diff(rec, false); err != nil {
					t.Fatalf("seed %d: reopened: %v", seed, err)
				}
			} else {
				l, rec = mustOpen(t, o)
				if err := m.diff(rec, true); err != nil {
					t.Fatalf("seed %d: reopened after %v: %v", seed, err, err)
				}
			}
		case k == 20: // the process is killed, the machine runs on
			disk.FailSync(0, 0, nil)
			_ = l.release()
			l, rec = mustOpen(t, o)
			if err := m.diff(rec, true); err != nil {
				t.Fatalf("seed %d: killed: %v", seed, err)
			}
			for _, h := range rec.Heads { // acks that were not written are forgotten
				if s := m.streams[h.Stream]; s != nil {
					s.acked = h.Acked
				}
			}
		case k == 19 && m.unsettled == nil && rng.IntN(2) == 0:
			disk.FailSync(0, 0, nil)
			tap.Set() // the model has no writer that is half there
			id, err := l.NewWriter()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			m.writer = id
			tap.Set(vfs.Rule{Op: vfs.OpAny, Match: cut})
		}
	}
	tap.Set()
	_ = l.Close()
	return done
}

// checkClone recovers from a clone twice: what the first one found, it has made durable.
func checkClone(t *testing.T, disk *vfs.Crash, m *model, seed uint64, number int) {
	rng := rand.New(rand.NewPCG(seed, uint64(number)))
	var again *vfs.Crash
	kept := disk.Clone(100, rng)
	tap := vfs.NewInject(disk)
	o := testOptions(tap)
	o.SegmentBytes = 4 << 10
	if number%10 == 0 { // cut the recovery as well
		left := 1 + rng.IntN(20)
		tap.Set(vfs.Rule{Op: vfs.OpAny, Match: func(string) bool {
			if left--; left == 0 {
				again = disk.Clone(50, rng)
			}
			return false
		}})
	}
	l, rec, err := Open(o, testIdentity)
	if err != nil {
		t.Errorf("seed %d clone %d: %v", seed, number, err)
		return
	}
	before := m.clone()
	if err := m.diff(rec, true); err != nil {
		t.Errorf("seed %d clone %d: %v", seed, number, err)
		dump(t, kept)
	}
	checkBodies(t, l, rec)
	_ = l.release() // as a killed process leaves it
	if again != nil {
		checkClone(t, again, before, seed, number+1)
	}
	if number%10 != 1 {
		return
	}
	o.FS = disk.Clone(0, rng)
	l, rec, err = Open(o, testIdentity)
	if err != nil {
		t.Errorf("seed %d clone %d, cut after recovery: %v", seed, number, err)
		return
	}
	if err := m.diff(rec, true); err != nil {
		t.Errorf("seed %d clone %d, cut after recovery: %v", seed, number, err)
	}
	_ = l.release()
}

// checkKilled recovers from what a killed process leaves, and cuts the power then: what recovery has told must be durable, although it may have
// come from a page cache whose sync had failed.
func checkKilled(t *testing.T, disk *vfs.Crash, m *model, seed uint64, number int) {
	o := testOptions(disk)
	for _, what := range []string{"killed", "killed and cut"} {
		l, rec, err := Open(o, testIdentity)
		if err == nil {
			err = m.diff(rec, true)
			checkBodies(t, l, rec)
			_ = l.release()
		}
		if err != nil {
			t.Errorf("seed %d clone %d, %s: %v", seed, number, what, err)
			return
		}
		o.FS = disk.Clone(0, rand.New(rand.NewPCG(seed, uint64(number))))
	}
}

// TestPowerCutLosesOneCommit: with the interval policy a power cut costs the last commit at most, and never looks like damage.
func TestPowerCutLosesOneCommit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	lost, rounds := 0, 20
	if raceEnabled {
		rounds = 4
	}
	for round := range rounds {
		disk := vfs.NewCrash("/var")
		tap := vfs.NewInject(disk)
		o := testOptions(tap)
		o.SegmentBytes, o.Fsync, o.FsyncInterval = 4<<10, Interval, time.Minute
		l, rec := mustOpen(t, o)
		m := newModel(rec.Writer)
		old := m.clone() // without the last commit
		tap.Set(vfs.Rule{Op: vfs.OpAny, Match: func(string) bool {
			c := o
			c.FS = disk.Clone([]int{0, 50, 100}[rng.IntN(3)], rng)
			c.BootID = func() [16]byte { return [16]byte{2} }
			l, rec, err := Open(c, testIdentity)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if !rec.NewWriter || rec.OldWriter != m.writer {
				t.Errorf("round %d: got new writer %v, old %v; want another than %v", round, rec.NewWriter, rec.OldWriter, m.writer)
			}
			rec.Writer = rec.OldWriter
			if err := m.clone().diff(rec, true); err != nil {
				if err2 := old.clone().diff(rec, true); err2 != nil {
					t.Errorf("round %d: %v; without the last commit: %v", round, err, err2)
				}
				lost++
			}
			checkBodies(t, l, rec)
			_ = l.release()
			return false
		}})
		for range 25 {
			c := m.randomCommit(rng)
			m.unsettled = c
			mustAppend(t, l, c)
			old = m.clone()
			old.unsettled = nil
			m.unsettled = nil
			m.apply(c)
			if rng.IntN(3) == 0 {
				for key, s := range m.streams {
					if s.next > s.acked {
						m.ack(key, s.next-1)
						old.ack(key, s.next-1)
						l.Ack(key, s.next-1)
					}
				}
				_ = l.Maintain()
			}
			if t.Failed() {
				return
			}
		}
		tap.Set()
		mustClose(t, l)
	}
	if lost == 0 {
		t.Error("no power cut has cost anything: the test cuts nothing")
	}
}
