// Package vfs is the seam between the write-ahead log and the file system: everything the log does to a disk goes through
// FS and File, so that tests can make any call fail (Inject), be slow (Slow), or forget what was not synced (Crash).
//
// The contract is POSIX's, kept small: names are paths of the operating system; writes are positioned; a write is durable
// only after Sync or Datasync of its file, and a new, renamed or removed name only after SyncDir of its directory.
// All implementations are safe for concurrent use; one File may be read while it is written.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrLocked: another process (or another opener in this one) holds the lock and did not release it in time.
var ErrLocked = errors.New("accounting/vfs: locked by another owner")

// FS is a file system. Errors are *fs.PathError or *os.LinkError and unwrap to a syscall.Errno where the system gave one.
type FS interface {
	// OpenFile opens name with the flags of package os; a created file gets perm.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename moves oldname over newname, atomically. Durable after SyncDir.
	Rename(oldname, newname string) error
	// Remove unlinks a file. Durable after SyncDir.
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// MkdirAll creates a directory with its parents; an existing one is left as it is.
	MkdirAll(name string, perm fs.FileMode) error
	// SyncDir makes a directory's entries durable.
	SyncDir(name string) error
	// Lock takes the exclusive lock of the file name, creating it with 0600 where absent, and waits at most wait for it.
	// It fails with ErrLocked. Closing the result releases the lock; the file is never removed or renamed.
	Lock(name string, wait time.Duration) (io.Closer, error)
	// StatFS describes the file system that name is on.
	StatFS(name string) (Info, error)
}

// File is an open file. Offsets and sizes are in bytes.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WritevAt writes the buffers one after another from off, in as few system calls as it can, without copying them.
	// It returns the bytes written; fewer than all come with an error. It keeps none of the buffers, and allocates
	// nothing in steady state. Not safe for concurrent use with itself.
	WritevAt(bufs [][]byte, off int64) (int64, error)
	// Preallocate makes the file at least size bytes long, its blocks reserved and reading as zeros where unwritten.
	// A file system that can't reserve gets a longer sparse file.
	Preallocate(size int64) error
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes the file's data and metadata durable; Datasync its data and what is needed to read it (its size).
	// After one of them failed, a later success on the same file proves nothing.
	Sync() error
	Datasync() error
	Name() string
}

// Info is what StatFS tells.
type Info struct {
	Type  string // "tmpfs", "ext4", … ; hexadecimal magic where unknown, "" where the system does not say
	Tmpfs bool   // pages only: survives the process, not the machine
	Free  uint64 // bytes that this user may still allocate
	Total uint64 // bytes
}

// Create makes a new file for reading and writing; it fails where name exists.
func Create(fsys FS, name string, perm fs.FileMode) (File, error) {
	return fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("file is larger than its limit")}
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF && int64(n) == size {
		err = nil
	}
	return b[:n], err
}
