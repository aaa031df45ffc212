package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// shared returns a directory on a tmpfs.
func shared(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "accounting-test-")
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if info, serr := os.Stat(from); err == nil && serr == nil {
		err = os.Chtimes(to, info.ModTime(), info.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// crashClone copies what a kill -9 at this moment would leave, and returns options for it.
func crashClone(t testing.TB, o Options) Options {
	t.Helper()
	dir := shared(t)
	w := *o.WAL
	w.Dir, w.FS = filepath.Join(dir, "wal"), nil
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(o.WAL.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() != ".lock" {
			copyFile(t, filepath.Join(o.WAL.Dir, n.Name()), filepath.Join(w.Dir, n.Name()))
		}
	}
	o.WAL = &w
	if o.CounterFile == "" {
		return o
	}
	files, _ := filepath.Glob(o.CounterFile + "*")
	for _, f := range files {
		if !strings.HasSuffix(f, ".lock") {
			copyFile(t, f, filepath.Join(dir, filepath.Base(f)))
		}
	}
	o.CounterFile = filepath.Join(dir, "counters")
	return o
}

// drop closes a pipeline whose directory has been cloned, without letting its slices out.
func drop(p *Pipeline, l *ledger) {
	l.set(errDown)
	_ = p.Close(context.Background())
	l.set(nil)
}

// stepFS takes a crash clone after every call that changes something.
type stepFS struct {
	vfs.FS
	step func()
}

type stepFile struct {
	vfs.File
	step func()
}

func (s *stepFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	s.step()
	return &stepFile{f, s.step}, nil
}
func (s *stepFS) Rename(a, b string) error    { err := s.FS.Rename(a, b); s.step(); return err }
func (s *stepFS) Remove(name string) error    { err := s.FS.Remove(name); s.step(); return err }
func (f *stepFile) Datasync() error           { err := f.File.Datasync(); f.step(); return err }
func (f *stepFile) Sync() error               { err := f.File.Sync(); f.step(); return err }
func (f *stepFile) Truncate(n int64) error    { err := f.File.Truncate(n); f.step(); return err }
func (f *stepFile) Preallocate(n int64) error { err := f.File.Preallocate(n); f.step(); return err }
func (f *stepFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	f.step()
	return n, err
}
func (f *stepFile) WritevAt(b [][]byte, off int64) (int64, error) {
	n, err := f.File.WritevAt(b, off)
	f.step()
	return n, err
}
