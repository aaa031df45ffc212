package wal

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// TestFullDisk fills a disk. Nothing accepted is lost, what must not wait fits into the spare segment, and acks make room without more disk.
func TestFullDisk(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	disk.SetLimit(64 << 10)
	l, rec := mustOpen(t, o)
	m := newModel(rec.Writer)
	full := false
	for e := uint64(1); e <= 200 && !full; e++ {
		c := commitN(l, e, 700, 0, 1)
		switch err := l.Append(c); {
		case err == nil:
			m.apply(c)
		case errors.Is(err, ErrPersistenceFull) && errors.Is(err, syscall.ENOSPC):
			full = true
		default:
			t.Fatalf("epoch %d: got %v, want ErrPersistenceFull and ENOSPC", e, err)
		}
	}
	if !full || l.Stats().Err == nil {
		t.Fatalf("the disk did not get full, or the log does not say so: %v", l.Stats().Err)
	}
	c := commitN(l, m.epoch+1, 700, 0, 1)
	c.Reserve = true
	mustAppend(t, l, c)
	m.apply(c)
	for key, s := range m.streams {
		m.ack(key, s.next-2)
		l.Ack(key, s.next-2)
	}
	for range 3 {
		_ = l.Maintain()
	}
	c = commitN(l, m.epoch+1, 700, 0, 1)
	mustAppend(t, l, c)
	m.apply(c)
	if err := l.Maintain(); err != nil || l.Stats().Err != nil || !l.Stats().Spare {
		t.Errorf("room again: Maintain %v, Stats %v, spare %v", err, l.Stats().Err, l.Stats().Spare)
	}
	_ = l.release()
	_, rec = mustOpen(t, o)
	if err := m.diff(rec, true); err != nil {
		t.Error(err)
	}
}

// TestCaps: the caps refuse with certainty, Room tells before, the reserve is for those who may use it, and acks give the room back.
func TestCaps(t *testing.T) {
	o := testOptions(vfs.NewCrash("/var"))
	o.SegmentBytes = 64 << 10
	o.MaxEntries = 50
	l, _ := mustOpen(t, o)
	epoch := uint64(0)
	add := func(size int, reserve bool) error {
		c := commitN(l, epoch+1, size, 0)
		c.Reserve = reserve
		err := l.Append(c)
		if err == nil {
			epoch++
		}
		return err
	}
	for range 50 {
		if err := add(100, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, n := l.Room(false); n != 0 {
		t.Errorf("Room: got %d entries, want 0", n)
	}
	if err := add(100, false); !errors.Is(err, ErrPersistenceFull) {
		t.Errorf("entries: got %v, want ErrPersistenceFull", err)
	}
	if err := add(100, true); err != nil {
		t.Errorf("reserve: got %v", err)
	}
	s := streamN(0)
	s.Writer = l.Writer()
	l.Ack(s, epoch-1)
	refused := 0
	for refused == 0 {
		room, _ := l.Room(false)
		err := add(40<<10, false)
		fits := room >= 40<<10+EntryOverhead+CommitOverhead
		switch {
		case err == nil:
		case !errors.Is(err, ErrPersistenceFull):
			t.Fatal(err)
		case fits:
			t.Fatalf("Room told %d bytes, and %d did not fit: %v", room, 40<<10, err)
		default:
			refused++
		}
	}
	if b := l.Stats().Bytes; b > o.MaxBytes-o.MaxBytes/8 || b < o.MaxBytes/2 {
		t.Errorf("got %d bytes at the cap of %d", b, o.MaxBytes)
	}
	for range 2 {
		if err := add(40<<10, true); err != nil {
			t.Errorf("reserve: got %v", err)
		}
	}
	l.Ack(s, epoch-1)
	if err := add(40<<10, false); err != nil {
		t.Errorf("all acked: got %v", err)
	}
	mustClose(t, l)
}

func TestInvalidCommits(t *testing.T) {
	o := testOptions(vfs.NewCrash("/var"))
	l, _ := mustOpen(t, o)
	mustAppend(t, l, commitN(l, 1, 50, 0))
	edit := func(f func(*Entry)) *Commit {
		c := commitN(l, 2, 50, 0)
		f(&c.Entries[0])
		return c
	}
	for name, c := range map[string]*Commit{
		"epoch":      commitN(l, 1, 50, 0),
		"seq":        edit(func(e *Entry) { e.Seq = 2 }),
		"seq twice":  edit(func(e *Entry) { e.Seq = 0 }),
		"gap":        edit(func(e *Entry) { e.HasGap, e.GapFrom, e.Seq = true, 3, 4 }),
		"gap within": edit(func(e *Entry) { e.HasGap, e.GapFrom = true, 1 }),
		"writer":     edit(func(e *Entry) { e.Stream.Writer = canon.ID{1} }),
		"dimension":  edit(func(e *Entry) { e.Stream.Dimension = "" }),
		"no body":    edit(func(e *Entry) { e.Body = nil }),
		"body":       edit(func(e *Entry) { e.Body = make([]byte, maxBody+1) }),
	} {
		if err := l.Append(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	for _, name := range []string{"", string(make([]byte, 65))} {
		if err := l.SetCursor(name, streamN(0), 0, canon.Digest{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("sink %q: got %v, want ErrInvalid", name, err)
		}
	}
	mustAppend(t, l, commitN(l, 2, 50, 0)) // none of them has left anything
	mustClose(t, l)
	for name, err := range map[string]error{"Append": l.Append(commitN(l, 3, 50, 0)), "Maintain": l.Maintain()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", name, err)
		}
	}
	if _, err := l.NewWriter(); !errors.Is(err, ErrClosed) {
		t.Errorf("NewWriter after Close: got %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close twice: got %v", err)
	}
}

// TestReadBack: a Ref names its entry wherever compaction takes it, until it is acked; damage is told, and gone is gone.
func TestReadBack(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	var kept []Entry
	for e := uint64(1); e <= 60; e++ {
		c := commitN(l, e, 600, 0, 2, 3, 4, 5, 1)
		mustAppend(t, l, c)
		kept = append(kept, c.Entries[5])
		for _, x := range c.Entries[:5] {
			x.Stream.Writer = l.Writer()
			l.Ack(x.Stream, e-1)
		}
		if _, err := l.Read(c.Entries[0].Ref, nil); !errors.Is(err, ErrGone) {
			t.Fatalf("acked: got %v, want ErrGone", err)
		}
	}
	before := l.Stats().Segments
	for range 200 {
		if err := l.Maintain(); err != nil {
			t.Fatal(err)
		}
	}
	if after := l.Stats().Segments; after >= before {
		t.Errorf("nothing was compacted: %d segments, then %d", before, after)
	}
	for _, e := range kept {
		if b, err := l.Read(e.Ref, []byte("x")); err != nil || !bytes.Equal(b[1:], e.Body) {
			t.Fatalf("seq %d: got %d bytes, %v", e.Seq, len(b), err)
		}
	}
	if _, err := l.Read(Ref{}, nil); !errors.Is(err, ErrGone) {
		t.Errorf("the zero Ref: got %v, want ErrGone", err)
	}
	p := l.nodes[kept[5].Ref.node]
	zero(t, disk, segName(p.seg.num), p.off+300, p.off+310)
	if b, err := l.Read(kept[5].Ref, nil); !errors.Is(err, ErrWALCorrupt) || len(b) != 0 || l.Stats().Corrupt != 1 {
		t.Errorf("damaged: got %d bytes, %v, corrupt %d", len(b), err, l.Stats().Corrupt)
	}
	mustClose(t, l)
	if _, err := l.Read(kept[6].Ref, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

// TestBodyFromMemory: what must be rewritten and can't be read from the disk comes from the caller.
func TestBodyFromMemory(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	s, err := slice()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	o.Body = func(Stream, uint64) []byte { asked++; return s.Bytes() }
	l, _ := mustOpen(t, o)
	e := Entry{Stream: Stream{Tenant: s.Head().Tenant, Dimension: s.Head().Dimension}, Units: UnitsOf(5), Digest: s.Digest(), Body: s.Bytes(),
		SealedAtMS: s.Head().SealedAtMS, WindowStartS: s.Head().WindowStartS, WindowEndS: s.Head().WindowEndS}
	c := &Commit{Epoch: 1, Entries: []Entry{e}}
	mustAppend(t, l, c)
	p := l.nodes[c.Entries[0].Ref.node]
	zero(t, disk, segName(p.seg.num), p.off, p.off+100)
	disk.FailSync(1, 1, syscall.EIO) // the next commit moves all to a new segment
	mustAppend(t, l, &Commit{Epoch: 2})
	if b, err := l.Read(c.Entries[0].Ref, nil); err != nil || !bytes.Equal(b, s.Bytes()) || asked == 0 {
		t.Errorf("got %d bytes, %v; asked %d times", len(b), err, asked)
	}
	mustClose(t, l)
	l, rec := mustOpen(t, o)
	if len(rec.Pending) != 1 || rec.Pending[0].Units != UnitsOf(5) || rec.Pending[0].SealedAtMS != e.SealedAtMS {
		t.Errorf("got %+v", rec.Pending)
	}
	checkBodies(t, l, rec)
	mustClose(t, l)
}

// slice makes a sealed slice of one row with 5 units.
func slice() (canon.SealedSlice, error) {
	h := canon.Head{V: canon.Version, Tenant: canon.IDFromUint64(1), Writer: canon.ID{1}, Dimension: "bytes", SealedAtMS: 1_700_000_100_000,
		WindowStartS: 1_699_999_800, WindowEndS: 1_700_000_100}
	return canon.Encode(h, []canon.Row{{Subject: canon.IDFromUint64(3), Inc: 5}})
}

// TestMaxAge: an entry that nobody acks makes the log stale.
func TestMaxAge(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	o := testOptions(vfs.NewCrash("/var"))
	o.Now = func() time.Time { return now }
	l, _ := mustOpen(t, o)
	mustAppend(t, l, commitN(l, 1, 50, 0))
	if st := l.Stats(); st.Stale || st.OldestSealedMS != 1_700_000_000_000 {
		t.Errorf("new: got stale %v, oldest %d", st.Stale, st.OldestSealedMS)
	}
	now = now.Add(25 * time.Hour)
	if !l.Stats().Stale {
		t.Error("after 25 h: got not stale")
	}
	s := streamN(0)
	s.Writer = l.Writer()
	l.Ack(s, 0)
	if l.Stats().Stale {
		t.Error("acked: got stale")
	}
	mustClose(t, l)
}

// TestNewWriterFails: whatever call fails, the log has one writer or the other, and a reopened one agrees.
func TestNewWriterFails(t *testing.T) {
	for i := 1; ; i++ {
		disk := vfs.NewCrash("/var")
		tap := vfs.NewInject(disk)
		o := testOptions(tap)
		l, _ := mustOpen(t, o)
		mustAppend(t, l, commitN(l, 1, 50, 0))
		old := l.Writer()
		tap.Set(vfs.Rule{Nth: i, Err: syscall.EIO, Done: i%2 == 0})
		id, err := l.NewWriter()
		fired := tap.Fired()
		tap.Set()
		want := old
		if err == nil {
			want = id
		}
		if l.Writer() != want {
			t.Errorf("call %d: got writer %v, want %v", i, l.Writer(), want)
		}
		mustAppend(t, l, commitN(l, 2, 50, 0))
		mustClose(t, l)
		_, rec := mustOpen(t, o)
		if rec.Writer != want || len(rec.Pending) != 2 || len(rec.Damage)+len(rec.Holes) > 0 {
			t.Errorf("call %d: reopened: got writer %v, want %v; %d pending, %v, %v", i, rec.Writer, want, len(rec.Pending), rec.Damage, rec.Holes)
		}
		if fired == 0 {
			return
		}
	}
}

// TestConcurrentUse has every method at work at once; the race detector and the count at the end judge.
func TestConcurrentUse(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	o.Fsync, o.FsyncInterval = Interval, time.Millisecond
	l, _ := mustOpen(t, o)
	writer := l.Writer()
	const commits = 400
	refs := make(chan Entry, commits*2)
	acks := make(chan Mark, commits*2)
	stop := make(chan struct{})
	var users, others sync.WaitGroup
	users.Add(2)
	go func() { // reads back, then acks all but every tenth
		defer users.Done()
		for e := range refs {
			if b, err := l.Read(e.Ref, nil); err != nil || canon.Sum(b) != e.Digest {
				t.Errorf("seq %d: %d bytes, %v", e.Seq, len(b), err)
			}
			e.Stream.Writer = writer
			if e.Stream.Dimension == "bytes" {
				acks <- Mark{e.Stream, e.Seq, e.Digest}
			}
		}
		close(acks)
	}()
	go func() {
		defer users.Done()
		for m := range acks {
			l.AckBatch([]Mark{m})
			if err := l.SetCursors("ledger", []Mark{m}); err != nil {
				t.Error(err)
			}
		}
	}()
	others.Add(1)
	go func() {
		defer others.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Maintain(); err != nil && !errors.Is(err, syscall.EIO) { // the disk's fault may meet it, and is told
				t.Error(err)
				return
			}
			l.Stats()
			l.Room(true)
		}
	}()
	for e := uint64(1); e <= commits; e++ {
		c := commitN(l, e, 100, 0, 1)
		if e%50 == 0 {
			disk.FailSync(1, 1, syscall.EIO)
		}
		err := l.Append(c)
		if errors.Is(err, ErrNotWritten) && errors.Is(err, syscall.EIO) {
			err = l.Append(c) // the fault met the beginning of a new segment: certainly not written, so it may be brought again
		}
		if err != nil {
			t.Fatal(err)
		}
		refs <- c.Entries[0]
		refs <- c.Entries[1]
	}
	close(refs)
	users.Wait()
	close(stop)
	others.Wait()
	if n := l.Stats().Entries; n != commits {
		t.Errorf("got %d entries, want %d", n, commits)
	}
	disk.FailSync(0, 0, nil)
	mustClose(t, l)
	l, rec := mustOpen(t, o)
	if len(rec.Pending) != commits || len(rec.Damage)+len(rec.Holes) > 0 {
		t.Errorf("reopened: got %d pending, %v, %v", len(rec.Pending), rec.Damage, rec.Holes)
	}
	checkBodies(t, l, rec)
	mustClose(t, l)
}

// TestAppendAllocatesNothing in steady state: not for the headers, not for the vector, whatever the batch.
func TestAppendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, batch := range []int{1, 64} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			l, _, err := Open(Options{Dir: t.TempDir(), Fsync: Never}, testIdentity)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			c, acked, writer := benchCommit(batch*200, batch), make([]Mark, batch), l.Writer()
			one := func() {
				next(l, c, writer, acked)
				if err := l.Append(c); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				one()
			}
			if n := testing.AllocsPerRun(50, one); n != 0 {
				t.Errorf("got %v allocations a commit, want 0", n)
			}
		})
	}
}
