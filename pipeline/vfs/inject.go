package vfs

import (
	"io"
	"io/fs"
	"sync"
	"time"
)

// Op names a call of FS or File, for rules and counts.
type Op uint8

const (
	OpAny Op = iota // in a rule: every call below
	OpOpen
	OpRename
	OpRemove
	OpStat
	OpReadDir
	OpMkdir
	OpSyncDir
	OpLock
	OpStatFS
	OpRead
	OpWrite // WriteAt and WritevAt
	OpPreallocate
	OpTruncate
	OpSize
	OpSync // Sync and Datasync
	OpClose
	opEnd
)

var opNames = [opEnd]string{"any", "open", "rename", "remove", "stat", "readdir", "mkdir", "syncdir", "lock", "statfs",
	"read", "write", "preallocate", "truncate", "size", "sync", "close"}

func (o Op) String() string {
	if o < opEnd {
		return opNames[o]
	}
	return "invalid"
}

// Rule makes calls fail. The nth call (1 is the first after the rule was set) of Op on a name that Match accepts returns
// Err; with Forever every later one does too.
type Rule struct {
	Op      Op
	Nth     int
	Forever bool
	Err     error
	Match   func(name string) bool // nil: every name
	// Done lets the call happen and then reports Err: the outcome that the caller can't know.
	Done bool
	// Partial, for writes: only this many bytes are written before Err; with Done unset only.
	Partial int64
}

// Inject wraps a file system and fails the calls that its rules name. The zero rules fail nothing.
type Inject struct {
	FS    FS
	mu    sync.Mutex
	rules []*armed
	count [opEnd]int
}

type armed struct {
	Rule
	seen  int
	fired int
}

// NewInject wraps fsys.
func NewInject(fsys FS) *Inject { return &Inject{FS: fsys} }

// Set replaces the rules, whose counting starts now. With none, everything works again.
func (x *Inject) Set(rules ...Rule) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rules = nil
	for _, r := range rules {
		x.rules = append(x.rules, &armed{Rule: r})
	}
}

// Calls returns how often op was called so far; OpAny: all calls.
func (x *Inject) Calls(op Op) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count[op]
}

// Fired returns how many calls the rules have failed since Set.
func (x *Inject) Fired() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.rules {
		n += r.fired
	}
	return n
}

func (x *Inject) check(op Op, name string) *armed {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count[OpAny]++
	x.count[op]++
	for _, r := range x.rules {
		if r.Op != OpAny && r.Op != op || r.Match != nil && !r.Match(name) {
			continue
		}
		r.seen++
		if r.seen == r.Nth || r.Forever && r.seen > r.Nth {
			r.fired++
			return r
		}
	}
	return nil
}

// do runs call unless a rule fails it.
func (x *Inject) do(op Op, name string, call func() error) error {
	r := x.check(op, name)
	if r == nil {
		return call()
	}
	if r.Done {
		if err := call(); err != nil {
			return err
		}
	}
	return &fs.PathError{Op: op.String(), Path: name, Err: r.Err}
}

func (x *Inject) OpenFile(name string, flag int, perm fs.FileMode) (f File, err error) {
	err = x.do(OpOpen, name, func() (err error) { f, err = x.FS.OpenFile(name, flag, perm); return err })
	if err != nil {
		if f != nil {
			_ = f.Close() // opened, but reported as failed
		}
		return nil, err
	}
	return &injectFile{File: f, x: x}, nil
}

func (x *Inject) Rename(o, n string) error {
	return x.do(OpRename, n, func() error { return x.FS.Rename(o, n) })
}
func (x *Inject) Remove(name string) error {
	return x.do(OpRemove, name, func() error { return x.FS.Remove(name) })
}

func (x *Inject) Stat(name string) (fi fs.FileInfo, err error) {
	err = x.do(OpStat, name, func() (err error) { fi, err = x.FS.Stat(name); return err })
	return fi, err
}

func (x *Inject) ReadDir(name string) (names []string, err error) {
	err = x.do(OpReadDir, name, func() (err error) { names, err = x.FS.ReadDir(name); return err })
	return names, err
}

func (x *Inject) MkdirAll(name string, perm fs.FileMode) error {
	return x.do(OpMkdir, name, func() error { return x.FS.MkdirAll(name, perm) })
}

func (x *Inject) SyncDir(name string) error {
	return x.do(OpSyncDir, name, func() error { return x.FS.SyncDir(name) })
}

func (x *Inject) Lock(name string, wait time.Duration) (c io.Closer, err error) {
	err = x.do(OpLock, name, func() (err error) { c, err = x.FS.Lock(name, wait); return err })
	if err != nil && c != nil {
		_ = c.Close()
		c = nil
	}
	return c, err
}

func (x *Inject) StatFS(name string) (i Info, err error) {
	err = x.do(OpStatFS, name, func() (err error) { i, err = x.FS.StatFS(name); return err })
	return i, err
}

type injectFile struct {
	File
	x *Inject
}

func (f *injectFile) ReadAt(b []byte, off int64) (n int, err error) {
	if r := f.x.check(OpRead, f.Name()); r != nil {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: r.Err}
	}
	return f.File.ReadAt(b, off)
}

func (f *injectFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.WritevAt([][]byte{b}, off)
	return int(n), err
}

func (f *injectFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	r := f.x.check(OpWrite, f.Name())
	if r == nil {
		return f.File.WritevAt(bufs, off)
	}
	var n int64
	if r.Done {
		if n, err := f.File.WritevAt(bufs, off); err != nil {
			return n, err
		}
	} else {
		for _, b := range bufs {
			part := b[:min(int64(len(b)), r.Partial-n)]
			if len(part) == 0 {
				break
			}
			m, err := f.File.WriteAt(part, off+n)
			n += int64(m)
			if err != nil {
				return n, err
			}
		}
	}
	return n, &fs.PathError{Op: "write", Path: f.Name(), Err: r.Err}
}

func (f *injectFile) Preallocate(size int64) error {
	return f.x.do(OpPreallocate, f.Name(), func() error { return f.File.Preallocate(size) })
}

func (f *injectFile) Truncate(size int64) error {
	return f.x.do(OpTruncate, f.Name(), func() error { return f.File.Truncate(size) })
}

func (f *injectFile) Size() (n int64, err error) {
	err = f.x.do(OpSize, f.Name(), func() (err error) { n, err = f.File.Size(); return err })
	return n, err
}

func (f *injectFile) Sync() error     { return f.x.do(OpSync, f.Name(), f.File.Sync) }
func (f *injectFile) Datasync() error { return f.x.do(OpSync, f.Name(), f.File.Datasync) }

// Close always closes: a close that reports an error has still released the descriptor.
func (f *injectFile) Close() error {
	r := f.x.check(OpClose, f.Name())
	err := f.File.Close()
	if r != nil {
		return &fs.PathError{Op: "close", Path: f.Name(), Err: r.Err}
	}
	return err
}
