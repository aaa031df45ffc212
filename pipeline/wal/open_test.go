package wal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

func TestLockedByAnother(t *testing.T) {
	for name, o := range map[string]Options{"memory": testOptions(vfs.NewCrash("/var")), "disk": {Dir: filepath.Join(t.TempDir(), "wal")}} {
		if name == "disk" && runtime.GOOS == "windows" {
			continue
		}
		l, _ := mustOpen(t, o)
		mustAppend(t, l, commitN(l, 1, 50, 0))
		if _, _, err := Open(o, testIdentity); !errors.Is(err, ErrWALDirUnusable) || !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("%s: got %v, want ErrWALDirUnusable and ErrLocked", name, err)
		}
		mustAppend(t, l, commitN(l, 2, 50, 0)) // unharmed
		mustClose(t, l)
		l, rec := mustOpen(t, o)
		if len(rec.Pending) != 2 {
			t.Errorf("%s: got %d pending, want 2", name, len(rec.Pending))
		}
		mustClose(t, l)
	}
}

// TestDisk uses a real directory: modes, what lies beside the log, and where there is no directory yet.
func TestDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "wal")
	o := Options{Dir: dir, SegmentBytes: 64 << 10}
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 20; e++ {
		mustAppend(t, l, commitN(l, e, 10<<10, 0))
	}
	foreign := map[string]string{"README": "not the log's", "zz.wal": "no number", "000000000000000G.wal": "no number either", "0000000000000001.wal.old": "x"}
	for name, text := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := foreign[e.Name()]; ok {
				if b, _ := os.ReadFile(filepath.Join(dir, e.Name())); string(b) != text {
					t.Errorf("%s was changed", e.Name())
				}
			} else if fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: got mode %v, want 0600", e.Name(), fi.Mode().Perm())
			}
		}
		if fi, _ := os.Stat(dir); fi.Mode().Perm() != 0o700 {
			t.Errorf("directory: got mode %v, want 0700", fi.Mode().Perm())
		}
	}
	check()
	mustClose(t, l)
	l, rec := mustOpen(t, o)
	checkBodies(t, l, rec)
	if len(rec.Pending) != 20 || len(rec.Damage) > 0 {
		t.Errorf("got %d pending, damage %v", len(rec.Pending), rec.Damage)
	}
	check()
	mustClose(t, l)
	for name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDirectoryThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "wal")} {
		if _, _, err := Open(Options{Dir: dir}, testIdentity); !errors.Is(err, ErrWALDirUnusable) {
			t.Errorf("%s: got %v, want ErrWALDirUnusable", name, err)
		}
	}
	dir := t.TempDir() // a directory where a segment should be
	if err := os.Mkdir(filepath.Join(dir, segName(1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Dir: dir}, testIdentity); !errors.Is(err, ErrWALDirUnusable) {
		t.Errorf("a directory as segment: got %v, want ErrWALDirUnusable", err)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"Dir": {}, "MaxBytes": {Dir: "x", MaxBytes: 1}, "MaxEntries": {Dir: "x", MaxEntries: -1}, "MaxAge": {Dir: "x", MaxAge: -1},
		"Fsync": {Dir: "x", Fsync: 9}, "FsyncInterval": {Dir: "x", FsyncInterval: 1}, "LockWait": {Dir: "x", LockWait: -1}, "SegmentBytes": {Dir: "x", SegmentBytes: 1},
	} {
		if _, _, err := Open(o, Identity{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
	for _, id := range []Identity{{Dimensions: []string{""}}, {Dimensions: []string{strings.Repeat("x", 64)}}, {Dimensions: make([]string, 257)}} {
		if _, _, err := Open(testOptions(vfs.NewCrash("/var")), id); !errors.Is(err, ErrInvalid) {
			t.Errorf("identity: got %v, want ErrInvalid", err)
		}
	}
}

func TestWindowIsKept(t *testing.T) {
	o := testOptions(vfs.NewCrash("/var"))
	l, _ := mustOpen(t, o)
	mustClose(t, l)
	other := Identity{WindowS: 60, Dimensions: testIdentity.Dimensions}
	l, rec, err := Open(o, other) // no chain yet
	if err != nil || rec.Window != 300 {
		t.Fatalf("got window %d, %v", rec.Window, err)
	}
	mustAppend(t, l, commitN(l, 1, 50, 0))
	mustClose(t, l)
	if _, _, err := Open(o, testIdentity); !errors.Is(err, ErrWALDirUnusable) || !strings.Contains(err.Error(), "window") {
		t.Errorf("got %v, want ErrWALDirUnusable that names the window", err)
	}
	l, _, err = Open(o, other)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
}

// TestPowerCutByPolicy: commits that were not synced may be gone, and what was exported of them must not be overwritten: another writer.
func TestPowerCutByPolicy(t *testing.T) {
	for _, k := range []struct {
		policy Policy
		boot   byte
		want   bool
	}{{OnSeal, 1, false}, {OnSeal, 2, false}, {Interval, 1, false}, {Interval, 2, true}, {Never, 1, false}, {Never, 2, true}} {
		disk := vfs.NewCrash("/var")
		o := testOptions(disk)
		o.Fsync, o.FsyncInterval = k.policy, time.Minute
		l, rec := mustOpen(t, o)
		mustAppend(t, l, commitN(l, 1, 50, 0))
		mustAppend(t, l, commitN(l, 2, 50, 0))
		old := rec.Writer
		after := disk.Fork()
		if k.boot != 1 {
			after = disk.Clone(0, anySource())
		}
		o.FS, o.BootID = after, func() [16]byte { return [16]byte{k.boot} }
		l2, rec := mustOpen(t, o)
		if rec.NewWriter != k.want || rec.NewBoot != (k.boot != 1) || k.want && (rec.OldWriter != old || rec.Writer == old) || rec.Policy != k.policy {
			t.Errorf("%v boot %d: got new writer %v, new boot %v, old %v", k.policy, k.boot, rec.NewWriter, rec.NewBoot, rec.OldWriter)
		}
		want := 2
		if k.boot == 2 {
			want = map[Policy]int{OnSeal: 2, Interval: 1, Never: 0}[k.policy] // Interval: the one before the last is synced before the last is written
		}
		if len(rec.Pending) != want || len(rec.Holes)+len(rec.Damage) > 0 {
			t.Errorf("%v boot %d: got %d pending, holes %v, damage %v; want %d", k.policy, k.boot, len(rec.Pending), rec.Holes, rec.Damage, want)
		}
		mustClose(t, l2)
		mustClose(t, l)
	}
}

// TestSegmentIsGone: what a lost file held is reported, by the heads that the others know.
func TestSegmentIsGone(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 40; e++ {
		mustAppend(t, l, commitN(l, e, 500, 0))
	}
	mustClose(t, l)
	in, err := Inspect(o)
	if err != nil || len(in.Segments) < 3 {
		t.Fatal(in, err)
	}
	gone := in.Segments[1]
	if err := disk.Remove(filepath.Join(testDir, segName(gone.Number))); err != nil {
		t.Fatal(err)
	}
	l, rec := mustOpen(t, o)
	if len(rec.Holes) != 1 || len(rec.Pending) != 40-gone.Entries {
		t.Fatalf("got holes %v, %d pending, want %d", rec.Holes, len(rec.Pending), 40-gone.Entries)
	}
	h := rec.Holes[0]
	var units Units
	for seq := h.From; seq <= h.To; seq++ {
		units = units.Add(UnitsOf(seq + 1))
	}
	if int(h.To-h.From+1) != gone.Entries || !h.UnitsKnown || h.Units != units || rec.NewWriter || rec.Epoch != 40 {
		t.Errorf("got hole %+v, want %d entries of %v units; new writer %v, epoch %d", h, gone.Entries, units, rec.NewWriter, rec.Epoch)
	}
	// A gap declares it: then it is no more.
	s := streamN(0)
	s.Writer = l.Writer()
	l.Ack(s, h.From-1)
	e := entryN(0, 40, 50)
	e.HasGap, e.GapFrom = true, h.From
	mustAppend(t, l, &Commit{Epoch: 41, Entries: []Entry{e}})
	mustClose(t, l)
	l, rec = mustOpen(t, o)
	if len(rec.Holes) != 0 || len(rec.Pending) != 1 {
		t.Errorf("declared: got holes %v, %d pending", rec.Holes, len(rec.Pending))
	}
	mustClose(t, l)
}

// TestBadSector: a page that can't be read costs what is in it, not the log; a disk that reads nothing is refused, and nothing is given up.
func TestBadSector(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	o.SegmentBytes = 64 << 10
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 40; e++ {
		mustAppend(t, l, commitN(l, e, 1000, 0))
	}
	mustClose(t, l)
	o.FS = &unreadable{FS: disk, from: 8192, to: 12288}
	l, rec := mustOpen(t, o)
	if len(rec.Damage) == 0 || len(rec.Holes) != 1 || !rec.Holes[0].UnitsKnown || len(rec.Pending) < 30 {
		t.Errorf("a page: got damage %v, holes %v, %d pending", rec.Damage, rec.Holes, len(rec.Pending))
	}
	checkBodies(t, l, rec)
	mustClose(t, l)

	o.FS = &unreadable{FS: disk, to: 1 << 30}
	if _, _, err := Open(o, testIdentity); !errors.Is(err, ErrWALDirUnusable) {
		t.Errorf("all pages: got %v, want ErrWALDirUnusable", err)
	}
	o.FS = disk
	l, again := mustOpen(t, o)
	if len(again.Pending) != len(rec.Pending) {
		t.Errorf("readable again: got %d pending, want %d", len(again.Pending), len(rec.Pending))
	}
	mustClose(t, l)
}

// unreadable fails reads that touch a range of any segment.
type unreadable struct {
	vfs.FS
	from, to int64
}

func (u *unreadable) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, segSuffix) {
		return f, err
	}
	return &unreadableFile{f, u}, nil
}

type unreadableFile struct {
	vfs.File
	u *unreadable
}

func (f *unreadableFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.u.to && off+int64(len(b)) > f.u.from {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: errors.New("bad sector")}
	}
	return f.File.ReadAt(b, off)
}

// TestCheckpointIsGone: if nothing else tells of all streams, used seqs may be unknown: another writer.
func TestCheckpointIsGone(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	mustAppend(t, l, commitN(l, 1, 50, 0))
	old := l.Writer()
	if err := l.rotate(0, false, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, commitN(l, 2, 50, 0, 1))
	mustClose(t, l)
	zero(t, disk, segName(2), preambleSize, preambleSize+400)

	both := disk.Fork()
	o.FS = both
	l, rec := mustOpen(t, o) // the first segment tells all that the second one's checkpoint did
	if rec.NewWriter || len(rec.Pending) != 3 || len(rec.Damage) == 0 || len(rec.Holes) > 0 || rec.Epoch != 2 || !rec.StateKnown {
		t.Errorf("with the segment before: got new writer %v, %d pending, holes %v, epoch %d", rec.NewWriter, len(rec.Pending), rec.Holes, rec.Epoch)
	}
	mustClose(t, l)

	if err := disk.Remove(filepath.Join(testDir, segName(1))); err != nil {
		t.Fatal(err)
	}
	o.FS = disk
	l, rec = mustOpen(t, o)
	if !rec.NewWriter || rec.OldWriter != old || rec.Writer == old || len(rec.Pending) != 2 || rec.Epoch != 2 || !rec.StateKnown {
		t.Errorf("alone: got new writer %v (old %v), %d pending, epoch %d", rec.NewWriter, rec.OldWriter, len(rec.Pending), rec.Epoch)
	}
	if len(rec.Holes) != 1 || rec.Holes[0].To != 0 { // seq 0 of the first stream
		t.Errorf("alone: got holes %v", rec.Holes)
	}
	mustClose(t, l)
}

// zero overwrites a range of a file.
func zero(t *testing.T, fsys vfs.FS, name string, from, to int64) {
	t.Helper()
	f, err := fsys.OpenFile(filepath.Join(testDir, name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, to-from), from); err != nil {
		t.Fatal(err)
	}
}

// TestGapOutlivesItsEntry: where damage takes the slice that declared a gap, what it superseded does not come back: its units are in other slices.
func TestGapOutlivesItsEntry(t *testing.T) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	o.SegmentBytes = 64 << 10
	l, _ := mustOpen(t, o)
	mustAppend(t, l, commitN(l, 1, 50, 0))
	mustAppend(t, l, commitN(l, 2, 50, 0))
	e := entryN(0, 2, 50)
	e.HasGap, e.GapFrom = true, 0
	mustAppend(t, l, &Commit{Epoch: 3, Entries: []Entry{e, entryN(0, 3, 50)}})
	mustClose(t, l)
	b := content(t, disk, segName(1))
	at := int64(strings.Index(string(b), "stream 0 seq 2 "))
	zero(t, disk, segName(1), at-200, at+20) // header and body
	l, rec := mustOpen(t, o)
	if len(rec.Pending) != 1 || rec.Pending[0].Seq != 3 || len(rec.Holes) != 1 || rec.Holes[0].Units != UnitsOf(3) {
		t.Errorf("got pending %+v, holes %+v; want seq 3, and a hole at 2", rec.Pending, rec.Holes)
	}
	mustClose(t, l)
}
