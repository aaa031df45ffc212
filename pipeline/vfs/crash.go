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
	"sync"
	"syscall"
	"time"
)

// sector is the unit that a disk writes whole.
const sector = 512

// Crash is a file system in memory that knows what is durable: file contents as of the last Sync of each file, names as of the last SyncDir of
// each directory. Clone makes what a power cut would leave. It is stricter than most disks: any subset of what was not synced may survive, in
// any order, and syncing a file does not make its name durable.
type Crash struct {
	mu     sync.Mutex
	now    map[string]*inode
	synced map[string]*inode
	ops    []nameOp // since their directory was synced
	locked map[string]bool
	limit  int64 // bytes of all files; 0: none
	syncs  int
	fail   failure
}

// failure says which syncs of a file fail.
type failure struct {
	n, times int
	err      error
}

type inode struct {
	dir          bool
	perm         fs.FileMode
	data, synced []byte
	// gone is what the page cache held when a sync failed: the kernel calls it clean from then on, so no later sync writes it.
	gone []byte
}

// nameOp is a change of a directory: node became to, and is no longer from; either may be "".
type nameOp struct {
	from, to string
	node     *inode
}

// NewCrash returns an empty file system with the directory dir and its parents, durable.
func NewCrash(dir string) *Crash {
	c := &Crash{now: map[string]*inode{}, synced: map[string]*inode{}, locked: map[string]bool{}}
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		n := &inode{dir: true, perm: 0o755}
		c.now[d], c.synced[d] = n, n
		if d == filepath.Dir(d) {
			return c
		}
	}
}

// SetLimit sets the bytes that all files together may take; 0: no limit. What is there stays.
func (c *Crash) SetLimit(bytes int64) {
	c.mu.Lock()
	c.limit = bytes
	c.mu.Unlock()
}

// FailSync lets the nth Sync or Datasync from now on (1: the next) and times-1 more fail with err, as a kernel does it: what was to be written is
// lost, although it is still read back, and the next sync of the file succeeds without it. With times 0 none fails any more.
func (c *Crash) FailSync(n, times int, err error) {
	c.mu.Lock()
	c.syncs, c.fail = 0, failure{n, times, err}
	c.mu.Unlock()
}

// Fork returns a copy in which nothing has been lost, but the locks: the owner was killed, the machine runs on. What was not synced still is not.
func (c *Crash) Fork() *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := map[*inode]*inode{}
	fork := func(n *inode) *inode {
		if nodes[n] == nil {
			nodes[n] = &inode{dir: n.dir, perm: n.perm, data: slices.Clone(n.data), synced: slices.Clone(n.synced), gone: slices.Clone(n.gone)}
		}
		return nodes[n]
	}
	out := &Crash{now: map[string]*inode{}, synced: map[string]*inode{}, locked: map[string]bool{}, limit: c.limit}
	for name, n := range c.now {
		out.now[name] = fork(n)
	}
	for name, n := range c.synced {
		out.synced[name] = fork(n)
	}
	for _, op := range c.ops {
		out.ops = append(out.ops, nameOp{op.from, op.to, fork(op.node)})
	}
	return out
}

// Clone returns the file system after a power cut. Of each sector and each name that was not synced, keep in 100 survive, chosen by rng.
func (c *Crash) Clone(keep int, rng *rand.Rand) *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	lucky := func() bool { return rng.IntN(100) < keep }
	names := make(map[string]*inode, len(c.now))
	for name, n := range c.synced {
		names[name] = n
	}
	for _, op := range c.ops {
		if !lucky() {
			continue
		}
		if op.from != "" && names[op.from] == op.node {
			delete(names, op.from)
		}
		if op.to != "" {
			names[op.to] = op.node
		}
	}
	out := &Crash{now: map[string]*inode{}, synced: map[string]*inode{}, locked: map[string]bool{}}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // parents first, and the same draw for the same seed
	for _, name := range sorted {
		if parent := filepath.Dir(name); parent != name && out.now[parent] == nil {
			continue // its directory's name was lost
		}
		n := names[name]
		data := n.after(lucky)
		out.now[name] = &inode{dir: n.dir, perm: n.perm, data: data, synced: slices.Clone(data)}
		out.synced[name] = out.now[name]
	}
	return out
}

// after returns the content that a power cut leaves.
func (n *inode) after(lucky func() bool) []byte {
	if bytes.Equal(n.data, n.synced) {
		return slices.Clone(n.data)
	}
	size := len(n.synced)
	if len(n.data) != size && lucky() {
		size = len(n.data)
	}
	out := make([]byte, size)
	copy(out, n.synced)
	for at := 0; at < min(len(n.data), size); at += sector {
		end := min(at+sector, len(n.data), size)
		if !bytes.Equal(out[at:end], n.data[at:end]) && lucky() {
			copy(out[at:end], n.data[at:end])
		}
	}
	return out
}

// sync makes the content durable, but for what an earlier failed sync has lost.
func (n *inode) sync() {
	out := slices.Clone(n.data)
	for at := 0; at < min(len(n.gone), len(out)); at += sector {
		end := min(at+sector, len(n.gone), len(out))
		if bytes.Equal(n.gone[at:end], out[at:end]) {
			clear(out[at:end])
			if at < len(n.synced) {
				copy(out[at:end], n.synced[at:])
			}
		}
	}
	n.synced = out
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// OpenFile opens a file; see FS.
func (c *Crash) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.now[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0, c.now[filepath.Dir(name)] == nil:
		return nil, pathErr("open", name, syscall.ENOENT)
	case n == nil:
		n = &inode{perm: perm}
		c.now[name] = n
		c.ops = append(c.ops, nameOp{to: name, node: n})
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, pathErr("open", name, syscall.EEXIST)
	case n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, pathErr("open", name, syscall.EISDIR)
	case flag&os.O_TRUNC != 0:
		n.data = nil
	}
	return &crashFile{c: c, n: n, name: name, write: flag&(os.O_WRONLY|os.O_RDWR) != 0}, nil
}

// Rename moves a file; see FS.
func (c *Crash) Rename(o, n string) error {
	o, n = filepath.Clean(o), filepath.Clean(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.now[o]
	if node == nil {
		return pathErr("rename", o, syscall.ENOENT)
	}
	delete(c.now, o)
	c.now[n] = node
	c.ops = append(c.ops, nameOp{from: o, to: n, node: node})
	return nil
}

// Remove unlinks a file; see FS.
func (c *Crash) Remove(name string) error {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.now[name]
	if node == nil {
		return pathErr("remove", name, syscall.ENOENT)
	}
	delete(c.now, name)
	c.ops = append(c.ops, nameOp{from: name, node: node})
	return nil
}

// Stat describes a file; see FS.
func (c *Crash) Stat(name string) (fs.FileInfo, error) {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.now[name]
	if n == nil {
		return nil, pathErr("stat", name, syscall.ENOENT)
	}
	return crashInfo{filepath.Base(name), int64(len(n.data)), n.perm, n.dir}, nil
}

// ReadDir lists a directory; see FS.
func (c *Crash) ReadDir(name string) (names []string, err error) {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.now[name]; n == nil || !n.dir {
		return nil, pathErr("readdir", name, syscall.ENOENT)
	}
	for p := range c.now {
		if p != name && filepath.Dir(p) == name {
			names = append(names, filepath.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll makes directories; see FS.
func (c *Crash) MkdirAll(name string, perm fs.FileMode) error {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for d := name; c.now[d] == nil; d = filepath.Dir(d) {
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		n := &inode{dir: true, perm: perm}
		c.now[d] = n
		c.ops = append(c.ops, nameOp{to: d, node: n})
	}
	return nil
}

// SyncDir makes a directory's names durable; see FS.
func (c *Crash) SyncDir(name string) error {
	name = filepath.Clean(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.now[name]; n == nil || !n.dir {
		return pathErr("fsync", name, syscall.ENOENT)
	}
	in := func(p string) bool { return p != "" && filepath.Dir(p) == name }
	c.ops = slices.DeleteFunc(c.ops, func(op nameOp) bool {
		if !in(op.from) && !in(op.to) {
			return false
		}
		if op.from != "" && c.synced[op.from] == op.node {
			delete(c.synced, op.from)
		}
		if op.to != "" {
			c.synced[op.to] = op.node
		}
		return true
	})
	return nil
}

// Lock takes a lock within this Crash; a clone has none. It does not wait.
func (c *Crash) Lock(name string, _ time.Duration) (io.Closer, error) {
	f, err := c.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locked[name] {
		return nil, errors.Join(ErrLocked, f.Close())
	}
	c.locked[name] = true
	return unlocker(func() { c.mu.Lock(); delete(c.locked, name); c.mu.Unlock() }), nil
}

type unlocker func()

func (u unlocker) Close() error { u(); return nil }

// StatFS tells the limit; see FS.
func (c *Crash) StatFS(string) (Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := int64(1) << 40
	if c.limit > 0 {
		total = c.limit
	}
	return Info{Type: "crash", Free: uint64(max(0, total-c.used())), Total: uint64(total)}, nil
}

func (c *Crash) used() (n int64) {
	for _, f := range c.now {
		n += int64(len(f.data))
	}
	return n
}
