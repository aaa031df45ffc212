package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"
)

// This file has a Crash's open files and what Stat tells of them.

type crashInfo struct {
	name string
	size int64
	perm fs.FileMode
	dir  bool
}

func (i crashInfo) Name() string       { return i.name }
func (i crashInfo) Size() int64        { return i.size }
func (i crashInfo) ModTime() time.Time { return time.Time{} }
func (i crashInfo) IsDir() bool        { return i.dir }
func (i crashInfo) Sys() any           { return nil }
func (i crashInfo) Mode() fs.FileMode {
	if i.dir {
		return i.perm | fs.ModeDir
	}
	return i.perm
}

type crashFile struct {
	c     *Crash
	n     *inode
	name  string
	write bool
}

func (f *crashFile) Name() string { return f.name }
func (f *crashFile) Close() error { return nil }

func (f *crashFile) ReadAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// grow makes the file size bytes long, if there is room.
func (f *crashFile) grow(op string, size int64) error {
	if !f.write {
		return pathErr(op, f.name, syscall.EBADF)
	}
	more := size - int64(len(f.n.data))
	if more <= 0 {
		return nil
	}
	if f.c.limit > 0 && f.c.used()+more > f.c.limit {
		return pathErr(op, f.name, syscall.ENOSPC)
	}
	f.n.data = append(f.n.data, make([]byte, more)...)
	return nil
}

func (f *crashFile) WriteAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.grow("write", off+int64(len(b))); err != nil {
		return 0, err
	}
	return copy(f.n.data[off:], b), nil
}

func (f *crashFile) WritevAt(bufs [][]byte, off int64) (int64, error) { return writeEach(f, bufs, off) }

func (f *crashFile) Preallocate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.grow("fallocate", size)
}

func (f *crashFile) Truncate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if size <= int64(len(f.n.data)) {
		f.n.data = f.n.data[:size:size]
		return nil
	}
	return f.grow("truncate", size)
}

func (f *crashFile) Size() (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *crashFile) Sync() error { return f.Datasync() }

func (f *crashFile) Datasync() error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.syncs++
	if x := f.c.fail; f.c.syncs >= x.n && f.c.syncs < x.n+x.times {
		f.n.gone = slices.Clone(f.n.data)
		return pathErr("fdatasync", f.name, x.err)
	}
	f.n.sync()
	return nil
}
