package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

var diskErrors = []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE}

// script uses a log as its owner does, with everything that it has: rotation, acks, compaction, a full log. It returns the log as it is at the end,
// nil if it could not be opened.
func script(t *testing.T, o Options, m *model, where string) *Log {
	t.Helper()
	l, rec, err := Open(o, testIdentity)
	if err != nil {
		if !errors.Is(err, ErrWALDirUnusable) {
			t.Fatalf("%s: Open: got %v, want ErrWALDirUnusable", where, err)
		}
		return nil
	}
	if err := m.diff(rec, true); err != nil && m.epoch > 0 {
		t.Fatalf("%s: %v", where, err)
	}
	m.writer = l.Writer()
	rng := rand.New(rand.NewPCG(7, 7))
	for range 14 {
		c := m.unsettled
		if c == nil {
			c = &Commit{Epoch: m.epoch + 1, File: stateN(m.epoch + 1)}
			for i := range 3 {
				key := streamN(i)
				key.Writer = m.writer
				seq := uint64(0)
				if s := m.streams[key]; s != nil {
					seq = s.next
				}
				c.Entries = append(c.Entries, entryN(i, seq, 100+rng.IntN(300)))
			}
		}
		appendTo(t, l, m, c, where)
		if m.epoch%2 == 0 {
			for key, s := range m.streams {
				if key.Dimension == "bytes" && s.next > 1 {
					m.ack(key, s.next-2)
					l.Ack(key, s.next-2)
				}
			}
		}
		if m.epoch%5 == 0 {
			_ = l.Maintain()
		}
	}
	return l
}

// appendTo appends a commit and checks what its error promises.
func appendTo(t *testing.T, l *Log, m *model, c *Commit, where string) {
	t.Helper()
	settling := m.unsettled != nil
	m.unsettled = c
	switch err := l.Append(c); {
	case err == nil:
		m.apply(c)
		m.unsettled = nil
	case errors.Is(err, ErrOutcomeUnknown):
		if err := l.Append(&Commit{Epoch: c.Epoch + 1}); !errors.Is(err, ErrUnsettled) {
			t.Fatalf("%s: another commit while one is unsettled: got %v, want ErrUnsettled", where, err)
		}
	case settling || !errors.Is(err, ErrPersistenceFull) && !errors.Is(err, ErrNotWritten):
		t.Fatalf("%s: Append: %v (settling %v)", where, err, settling)
	default:
		m.unsettled = nil
	}
}

// TestEveryCallFails lets each file-system call of a script fail, once and for ever, with the call done and not done. Whatever happens then, nothing
// that was accepted is lost, in a power cut neither; and once the cause is gone the same log goes on.
func TestEveryCallFails(t *testing.T) {
	before, start := vfs.NewCrash("/var"), newModel([16]byte{})
	o := testOptions(before)
	o.SegmentBytes = 4 << 10
	_ = script(t, o, start, "before").release() // a log to be recovered
	run := func(rule vfs.Rule, where string) (calls, writes int) {
		disk, m := before.Fork(), start.clone()
		tap := vfs.NewInject(disk)
		o.FS = tap
		tap.Set(rule)
		l := script(t, o, m, where)
		calls, writes = tap.Calls(vfs.OpAny), tap.Calls(vfs.OpWrite)
		rng := rand.New(rand.NewPCG(1, uint64(rule.Nth)))
		for _, keep := range []int{0, 50} {
			c := testOptions(disk.Clone(keep, rng))
			got, rec, err := Open(c, testIdentity)
			if err != nil {
				t.Fatalf("%s: power cut: %v", where, err)
			}
			if err := m.clone().diff(rec, true); err != nil {
				t.Fatalf("%s: power cut, %d %% kept: %v", where, keep, err)
			}
			_ = got.release()
		}
		tap.Set()
		if l != nil {
			goOn(t, l, m, where)
		}
		l, rec, err := Open(o, testIdentity)
		if err != nil {
			t.Fatalf("%s: the cause is gone: %v", where, err)
		}
		if err := m.diff(rec, true); err != nil {
			t.Fatalf("%s: reopened: %v", where, err)
		}
		checkBodies(t, l, rec)
		_ = l.release()
		return calls, writes
	}
	calls, writes := run(vfs.Rule{Nth: 1 << 30}, "nothing fails")
	step := 1
	if raceEnabled || testing.Short() {
		step = 17
	}
	fired := 0
	for i := 1; i <= calls && !t.Failed(); i += step {
		for k, done := range []bool{false, true} {
			for _, forever := range []bool{false, true} {
				err := diskErrors[(i+k)%len(diskErrors)]
				run(vfs.Rule{Nth: i, Err: err, Done: done, Forever: forever}, fmt.Sprintf("call %d of %d: %v, done %v, forever %v", i, calls, err, done, forever))
				fired++
			}
		}
		if i > writes {
			continue
		}
		run(vfs.Rule{Op: vfs.OpWrite, Nth: i, Err: syscall.ENOSPC, Partial: int64(i*37) % 900}, fmt.Sprintf("write %d is cut short", i))
	}
	t.Logf("%d calls, %d runs", calls, fired)
}

// goOn shows that a log whose disk works again needs no restart.
func goOn(t *testing.T, l *Log, m *model, where string) {
	t.Helper()
	if u := m.unsettled; u != nil {
		if err := l.Append(u); err != nil {
			t.Fatalf("%s: the cause is gone: %v", where, err)
		}
		m.apply(u)
		m.unsettled = nil
	}
	c := &Commit{Epoch: m.epoch + 1, File: stateN(m.epoch + 1)}
	if err := l.Append(c); err != nil {
		t.Fatalf("%s: the cause is gone: %v", where, err)
	}
	m.apply(c)
	if err := l.Maintain(); err != nil || l.Stats().Err != nil {
		t.Fatalf("%s: the cause is gone: Maintain: %v, Stats: %v", where, err, l.Stats().Err)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("%s: the cause is gone: Close: %v", where, err)
	}
}
