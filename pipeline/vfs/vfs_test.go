package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// systems are the file systems that must keep the contract, each with an empty directory.
func systems(t *testing.T) map[string]struct {
	FS
	dir string
} {
	type system = struct {
		FS
		dir string
	}
	return map[string]system{
		"os":     {OS, t.TempDir()},
		"crash":  {NewCrash("/d"), "/d"},
		"inject": {NewInject(OS), t.TempDir()},
		"slow":   {Slow(OS, 0, time.Microsecond, 1), t.TempDir()},
	}
}

func TestContract(t *testing.T) {
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			a, b := filepath.Join(s.dir, "sub", "a"), filepath.Join(s.dir, "sub", "b")
			if _, err := s.OpenFile(a, os.O_RDWR|os.O_CREATE, 0o600); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("no directory: got %v", err)
			}
			if err := s.MkdirAll(filepath.Dir(a), 0o700); err != nil {
				t.Fatal(err)
			}
			f, err := Create(s, a, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Create(s, a, 0o600); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Create of what exists: got %v", err)
			}
			if n, err := f.WritevAt([][]byte{[]byte("one "), nil, []byte("two "), []byte("three")}, 10); n != 13 || err != nil {
				t.Errorf("WritevAt: got %d, %v", n, err)
			}
			if n, err := f.WriteAt([]byte("0123456789"), 0); n != 10 || err != nil {
				t.Errorf("WriteAt: got %d, %v", n, err)
			}
			if err := errors.Join(f.Preallocate(8192), f.Datasync(), f.Sync(), s.SyncDir(filepath.Dir(a))); err != nil {
				t.Error(err)
			}
			if n, err := f.Size(); n != 8192 || err != nil {
				t.Errorf("Size: got %d, %v", n, err)
			}
			if err := f.Preallocate(100); err != nil { // never shrinks
				t.Error(err)
			}
			want := append([]byte("0123456789one two three"), make([]byte, 10)...)
			got := make([]byte, len(want))
			if n, err := f.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, want) {
				t.Errorf("ReadAt: got %q, %v", got, err)
			}
			if err := f.Truncate(23); err != nil {
				t.Error(err)
			}
			if n, err := f.ReadAt(got, 0); n != 23 || err != io.EOF {
				t.Errorf("ReadAt at the end: got %d, %v", n, err)
			}
			if err := s.Rename(a, b); err != nil {
				t.Error(err)
			}
			if names, err := s.ReadDir(filepath.Dir(a)); err != nil || !slices.Equal(names, []string{"b"}) {
				t.Errorf("ReadDir: got %v, %v", names, err)
			}
			if fi, err := s.Stat(b); err != nil || fi.Size() != 23 || fi.Mode().Perm() != 0o600 || fi.IsDir() || fi.Name() != "b" {
				t.Errorf("Stat: got %+v, %v", fi, err)
			}
			if fi, err := s.Stat(filepath.Dir(b)); err != nil || !fi.IsDir() || fi.Mode().Perm() != 0o700 {
				t.Errorf("Stat of the directory: got %+v, %v", fi, err)
			}
			if all, err := ReadFile(s, b, 23); err != nil || len(all) != 23 {
				t.Errorf("ReadFile: got %q, %v", all, err)
			}
			if _, err := ReadFile(s, b, 22); err == nil {
				t.Error("ReadFile: a file above the limit was read")
			}
			if err := s.Remove(b); err != nil {
				t.Error(err)
			}
			for op, err := range map[string]error{"Remove": s.Remove(b), "Rename": s.Rename(b, a), "Stat": func() error { _, err := s.Stat(b); return err }()} {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s of nothing: got %v", op, err)
				}
			}
			if n, err := f.ReadAt(got[:10], 0); n != 10 || err != nil { // open, though removed
				t.Errorf("removed: got %d, %v", n, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if info, err := s.StatFS(s.dir); err != nil || info.Free == 0 || info.Total < info.Free {
				t.Errorf("StatFS: got %+v, %v", info, err)
			}
			lock := filepath.Join(s.dir, ".lock")
			held, err := s.Lock(lock, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Lock(lock, 0); !errors.Is(err, ErrLocked) {
				t.Errorf("second lock: got %v, want ErrLocked", err)
			}
			if err := held.Close(); err != nil {
				t.Error(err)
			}
			if held, err = s.Lock(lock, time.Second); err != nil {
				t.Errorf("released lock: got %v", err)
			} else if err := held.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLongVector: more buffers than one system call takes, some of them empty.
func TestLongVector(t *testing.T) {
	f, err := Create(OS, filepath.Join(t.TempDir(), "f"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bufs [][]byte
	var want []byte
	for i := range 5000 {
		b := bytes.Repeat([]byte{byte(i)}, i%7)
		bufs, want = append(bufs, b), append(want, b...)
	}
	if n, err := f.WritevAt(bufs, 3); n != int64(len(want)) || err != nil {
		t.Fatalf("got %d, %v, want %d", n, err, len(want))
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 3); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back other bytes, %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".lock")
	held, err := OS.Lock(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		c, err := OS.Lock(name, time.Minute)
		if err == nil {
			err = c.Close()
		}
		got <- err
	}()
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("got %v, want the lock once it is free", err)
	}
}

// write makes a file of 2,048 bytes in c and returns it.
func write(t *testing.T, c *Crash, name string, b byte) File {
	t.Helper()
	f, err := c.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{b}, 2048), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCrashForgets shows what each missing sync costs.
func TestCrashForgets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := NewCrash("/d")
	f := write(t, c, "/d/f", 'a')
	read := func(c *Crash) string {
		b, err := ReadFile(c, "/d/f", 1<<20)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "none"
		case len(b) == 0:
			return "empty"
		}
		return string(b[0]) + string(b[len(b)-1])
	}
	expect := func(what, want string) {
		t.Helper()
		if got := read(c.Clone(0, rng)); got != want {
			t.Errorf("%s, power cut: got %s, want %s", what, got, want)
		}
		if got := read(c.Clone(100, rng)); got != read(c) {
			t.Errorf("%s, all kept: got %s, want %s", what, got, read(c))
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	expect("synced without its name", "none")
	if err := c.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	expect("synced with its name", "aa")
	write(t, c, "/d/f", 'b')
	expect("overwritten", "aa")
	seen := map[string]bool{}
	for range 200 {
		seen[read(c.Clone(50, rng))] = true
	}
	if len(seen) != 4 {
		t.Errorf("half kept: got %v, want every mixture of sectors", seen)
	}
	c.FailSync(1, 1, syscall.EIO)
	if err := f.Datasync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	if err := f.Datasync(); err != nil {
		t.Error(err)
	}
	expect("a sync after a failed one", "aa")
	if read(c) != "bb" {
		t.Errorf("the page cache: got %s", read(c))
	}
	write(t, c, "/d/g", 'c')
	if err := c.Rename("/d/g", "/d/f"); err != nil {
		t.Fatal(err)
	}
	expect("renamed over", "aa")
	if got := read(c.Fork().Clone(0, rng)); got != "aa" {
		t.Errorf("a fork forgets as well: got %s", got)
	}
	if read(c.Fork()) != "cc" {
		t.Error("a fork has lost something")
	}
	if err := c.Remove("/d/f"); err != nil {
		t.Fatal(err)
	}
	expect("removed", "aa")
	if err := c.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	expect("removed and synced", "none")

	if err := c.MkdirAll("/d/e/e", 0o700); err != nil {
		t.Fatal(err)
	}
	f = write(t, c, "/d/e/e/f", 'x')
	if err := errors.Join(f.Sync(), c.SyncDir("/d/e/e")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Clone(0, rng).Stat("/d/e/e/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory whose own name was not synced: got %v", err)
	}
	if err := errors.Join(c.SyncDir("/d/e"), c.SyncDir("/d")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Clone(0, rng).Stat("/d/e/e/f"); err != nil {
		t.Errorf("synced up to the top: got %v", err)
	}
}

func TestCrashLimit(t *testing.T) {
	c := NewCrash("/d")
	c.SetLimit(4096)
	f := write(t, c, "/d/f", 'a')
	for what, err := range map[string]error{
		"Preallocate": f.Preallocate(5000), "Truncate": f.Truncate(5000), "WriteAt": func() error { _, err := f.WriteAt([]byte{1}, 4096); return err }(),
	} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want ENOSPC", what, err)
		}
	}
	if i, _ := c.StatFS("/d"); i.Free != 2048 {
		t.Errorf("StatFS: got %d free, want 2048", i.Free)
	}
}

func TestInject(t *testing.T) {
	c := NewCrash("/d")
	x := NewInject(c)
	f, err := x.OpenFile("/d/f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	x.Set(Rule{Op: OpSync, Nth: 2, Err: syscall.EIO})
	if e1, e2, e3 := f.Sync(), f.Datasync(), f.Sync(); e1 != nil || !errors.Is(e2, syscall.EIO) || e3 != nil || x.Fired() != 1 {
		t.Errorf("once: got %v, %v, %v, fired %d", e1, e2, e3, x.Fired())
	}
	x.Set(Rule{Op: OpSync, Nth: 2, Err: syscall.EIO, Forever: true})
	if e1, e2, e3 := f.Sync(), f.Datasync(), f.Sync(); e1 != nil || e2 == nil || e3 == nil {
		t.Errorf("for ever: got %v, %v, %v", e1, e2, e3)
	}
	x.Set(Rule{Op: OpWrite, Nth: 1, Err: syscall.ENOSPC, Partial: 3})
	if n, err := f.WritevAt([][]byte{[]byte("ab"), []byte("cd")}, 0); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("partial: got %d, %v", n, err)
	}
	if n, _ := f.Size(); n != 3 {
		t.Errorf("partial: got %d bytes in the file, want 3", n)
	}
	x.Set(Rule{Op: OpRename, Nth: 1, Err: syscall.EIO, Done: true, Match: func(name string) bool { return name == "/d/g" }})
	if err := x.Rename("/d/f", "/d/g"); !errors.Is(err, syscall.EIO) {
		t.Errorf("done: got %v", err)
	}
	if _, err := c.Stat("/d/g"); err != nil {
		t.Errorf("done, but it did not happen: %v", err)
	}
	x.Set(Rule{Op: OpLock, Nth: 1, Err: syscall.EIO, Done: true})
	if _, err := x.Lock("/d/l", 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("lock: got %v", err)
	}
	if held, err := x.Lock("/d/l", 0); err != nil {
		t.Errorf("a lock that was reported as failed is held: %v", err)
	} else if err := held.Close(); err != nil {
		t.Error(err)
	}
	before := x.Calls(OpAny)
	_, _ = x.Stat("/d")
	if x.Calls(OpAny) != before+1 || x.Calls(OpStat) != 1 {
		t.Errorf("got %d calls, %d of stat", x.Calls(OpAny)-before, x.Calls(OpStat))
	}
	if OpSync.String() != "sync" || Op(200).String() != "invalid" {
		t.Errorf("got %v, %v", OpSync, Op(200))
	}
}
