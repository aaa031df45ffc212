package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// readsOnly fails every call that would change a file system.
func readsOnly(t *testing.T, fsys vfs.FS) vfs.FS {
	return &refusing{FS: fsys, t: t}
}

type refusing struct {
	vfs.FS
	t *testing.T
}

func (r *refusing) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if flag != os.O_RDONLY {
		r.t.Errorf("opened %s for writing", name)
	}
	return r.FS.OpenFile(name, flag, perm)
}
func (r *refusing) Rename(o, _ string) error { r.t.Errorf("renamed %s", o); return nil }
func (r *refusing) Remove(name string) error { r.t.Errorf("removed %s", name); return nil }
func (r *refusing) MkdirAll(name string, _ fs.FileMode) error {
	r.t.Errorf("made %s", name)
	return nil
}

func TestInspectAndVerify(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 30; e++ {
		mustAppend(t, l, commitN(l, e, 400, 0, 1))
	}
	s := streamN(0)
	s.Writer = l.Writer()
	l.Ack(s, 2)
	_ = l.SetCursor("ledger", s, 3, canon.Digest{5})
	if err := l.Maintain(); err != nil {
		t.Fatal(err)
	}
	ro := o
	ro.FS = readsOnly(t, disk)
	in, err := Verify(ro) // the log is in use
	if err != nil {
		t.Fatal(err)
	}
	if in.Writer != l.Writer() || in.NewWriter || in.Epoch != 30 || len(in.Pending) != 57 || len(in.Heads) != 2 || in.Window != 300 {
		t.Errorf("got writer %v new %v epoch %d, %d pending, %d heads, window %d", in.Writer, in.NewWriter, in.Epoch, len(in.Pending), len(in.Heads), in.Window)
	}
	if len(in.Segments) != l.Stats().Segments || len(in.Leftovers) != 1 || len(in.SetAside) != 0 {
		t.Errorf("got %d segments, leftovers %v, set aside %v; want %d", len(in.Segments), in.Leftovers, in.SetAside, l.Stats().Segments)
	}
	if len(in.Cursors) != 1 || in.Cursors[0] != (CursorInfo{"ledger", s, 3, canon.Digest{5}}) {
		t.Errorf("got cursors %v", in.Cursors)
	}
	var seqs []uint64
	_, err = Walk(ro, func(p *Pending, body []byte) error {
		if canon.Sum(body) != p.Digest {
			t.Errorf("%v seq %d: body does not fit", p.Stream, p.Seq)
		}
		if p.Stream == s {
			seqs = append(seqs, p.Seq)
		}
		return nil
	})
	if err != nil || len(seqs) != 27 || seqs[0] != 3 || seqs[26] != 29 {
		t.Errorf("walked %v, %v", seqs, err)
	}
	stop := errors.New("stop")
	if _, err := Walk(ro, func(*Pending, []byte) error { return stop }); err != stop {
		t.Errorf("got %v, want the callback's error", err)
	}
	mustClose(t, l)

	// One flipped bit in a body.
	name := filepath.Join(testDir, segName(in.Segments[0].Number))
	b := content(t, disk, segName(in.Segments[0].Number))
	at := bytes.Index(b, []byte("stream 1 seq 2 "))
	f, _ := disk.OpenFile(name, os.O_RDWR, 0)
	if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	in, err = Verify(ro)
	if !errors.Is(err, ErrWALCorrupt) || len(in.Damage) != 1 || len(in.Holes) != 1 || in.Holes[0].From != 2 || in.Holes[0].Units != UnitsOf(3) || !in.Segments[0].Damaged {
		t.Errorf("flipped: got %v, damage %v, holes %v", err, in.Damage, in.Holes)
	}
	if _, err := Inspect(ro); err != nil {
		t.Errorf("Inspect does not judge: got %v", err)
	}
	ro.Dir = "/var/none"
	for name, call := range map[string]func(Options) (*Inspection, error){"Inspect": Inspect, "Verify": Verify} {
		if _, err := call(ro); !errors.Is(err, ErrWALDirUnusable) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of no directory: got %v", name, err)
		}
	}
}

func TestVerifyChain(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	a, b := entryN(0, 0, 50), entryN(0, 1, 50)
	b.HasPrev, b.Prev = true, canon.Digest{1}
	mustAppend(t, l, &Commit{Epoch: 1, Entries: []Entry{a, b}})
	mustClose(t, l)
	if _, err := Verify(o); !errors.Is(err, ErrWALCorrupt) {
		t.Errorf("broken chain: got %v, want ErrWALCorrupt", err)
	}
}

func TestAdopt(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	if _, _, err := Adopt(o); !errors.Is(err, ErrWALDirUnusable) {
		t.Errorf("no directory: got %v, want ErrWALDirUnusable", err)
	}
	l, _ := mustOpen(t, o)
	mustAppend(t, l, commitN(l, 1, 50, 0, 1))
	if _, _, err := Adopt(o); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("in use: got %v, want ErrLocked", err)
	}
	mustClose(t, l)
	old, now, err := Adopt(o)
	if err != nil || old != l.Writer() || now == old {
		t.Fatalf("got %v, %v, %v; want %v and another", old, now, err, l.Writer())
	}
	l, rec := mustOpen(t, o)
	if rec.Writer != now || rec.NewWriter || rec.Window != 300 || len(rec.Dimensions) != 2 || len(rec.Pending) != 2 || rec.Epoch != 1 || rec.File != stateN(1) {
		t.Errorf("adopted: got writer %v, window %d, dimensions %v, %d pending, epoch %d", rec.Writer, rec.Window, rec.Dimensions, len(rec.Pending), rec.Epoch)
	}
	for _, h := range rec.Heads {
		if !h.Retired {
			t.Errorf("%v is not retired", h.Stream)
		}
	}
	mustAppend(t, l, commitN(l, 2, 50, 0)) // seq 0 again, under the new writer
	mustClose(t, l)
}

// TestSegmentThatIsGone: no byte is damaged where a whole segment is missing; what it held is missing all the same, and counts as corruption.
func TestSegmentThatIsGone(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 300; e++ {
		mustAppend(t, l, commitN(l, e, 400, 0, 1))
	}
	mustClose(t, l)
	in, err := Inspect(o)
	if err != nil || len(in.Segments) < 3 {
		t.Fatalf("%d segments, %v", len(in.Segments), err)
	}
	if err := disk.Remove(filepath.Join(testDir, segName(in.Segments[1].Number))); err != nil {
		t.Fatal(err)
	}
	l, rec := mustOpen(t, o)
	if len(rec.Holes) == 0 || l.Stats().Corrupt != uint64(len(rec.Holes)) {
		t.Errorf("%d holes, %d damaged ranges, corrupt %d; want a hole a stream, counted", len(rec.Holes), len(rec.Damage), l.Stats().Corrupt)
	}
	mustClose(t, l)
}
