package crash

import (
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// mortalFS ends the process at its nth call that changes something: before it, or after, by turns. So every step of the log's protocols is met,
// those of recovery among them.
type mortalFS struct {
	vfs.FS
	left  atomic.Int64
	after bool
}

func newMortalFS(n int) *mortalFS {
	m := &mortalFS{FS: vfs.OS, after: n%2 == 1}
	m.left.Store(int64(n/2 + 1))
	return m
}

// do runs a call, unless it is the last.
func (m *mortalFS) do(call func() error) error {
	last := m.left.Add(-1) == 0
	if last && !m.after {
		die()
	}
	err := call()
	if last {
		die()
	}
	return err
}

func die() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}

func (m *mortalFS) OpenFile(name string, flag int, perm fs.FileMode) (f vfs.File, err error) {
	err = m.do(func() (err error) { f, err = m.FS.OpenFile(name, flag, perm); return err })
	if err != nil {
		return nil, err
	}
	return &mortalFile{f, m}, nil
}

func (m *mortalFS) Rename(from, to string) error {
	return m.do(func() error { return m.FS.Rename(from, to) })
}

func (m *mortalFS) Remove(name string) error {
	return m.do(func() error { return m.FS.Remove(name) })
}

func (m *mortalFS) SyncDir(name string) error {
	return m.do(func() error { return m.FS.SyncDir(name) })
}

func (m *mortalFS) Lock(name string, wait time.Duration) (c io.Closer, err error) {
	err = m.do(func() (err error) { c, err = m.FS.Lock(name, wait); return err })
	return c, err
}

type mortalFile struct {
	vfs.File
	m *mortalFS
}

func (f *mortalFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.m.do(func() (err error) { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}

func (f *mortalFile) WritevAt(bufs [][]byte, off int64) (n int64, err error) {
	err = f.m.do(func() (err error) { n, err = f.File.WritevAt(bufs, off); return err })
	return n, err
}

func (f *mortalFile) Preallocate(size int64) error {
	return f.m.do(func() error { return f.File.Preallocate(size) })
}

func (f *mortalFile) Truncate(size int64) error {
	return f.m.do(func() error { return f.File.Truncate(size) })
}

func (f *mortalFile) Sync() error     { return f.m.do(f.File.Sync) }
func (f *mortalFile) Datasync() error { return f.m.do(f.File.Datasync) }
