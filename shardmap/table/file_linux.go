//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x) && !race && !purego

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// InitFile is Init with the counters in a file: it takes over what the file has open and makes it anew.
// stream numbers the stream of a key; false: there is no room for it, and the open fails with nothing changed.
func (c *Core) InitFile(l Layout, cfg Config, fc FileConfig, stream func(*Packed) (uint32, bool)) (rep FileReport, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(fc.Path), &st); err != nil {
		return rep, fmt.Errorf("%w: %s: %w", ErrFileSystem, fc.Path, err)
	}
	if st.Type != unix.TMPFS_MAGIC && !fc.AnyFS {
		return rep, fmt.Errorf("%w: %s: file system type %#x", ErrFileSystem, fc.Path, st.Type)
	}
	if info, err := os.Lstat(fc.Path); err == nil && !info.Mode().IsRegular() { // a rename would take a device or a directory from its place
		return rep, fmt.Errorf("%w: %s: %v, want a regular file", ErrFileForeign, fc.Path, info.Mode())
	}
	lock, err := os.OpenFile(fc.Path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return rep, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	done := false
	defer func() {
		if !done {
			lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return rep, fmt.Errorf("%w: %s: %w", ErrFileBusy, fc.Path, err)
	}
	c.layout = l
	rows, err := c.takeOver(&fc, &rep)
	if err != nil {
		return rep, err
	}
	if (!rep.Found || rep.SetAside != "") && fc.Rescue != nil {
		if rows, err = fc.Rescue(); err != nil {
			return rep, err
		}
		rep.Rescued, rep.Rows = len(rows) > 0, len(rows)
		for i := range rows {
			rep.Units = rep.Units.Add(rows[i].Open)
		}
	}
	if rep.Committed > fc.Commit.Epoch && fc.NewWriter != nil {
		if fc.Writer, err = fc.NewWriter(); err != nil {
			return rep, err
		}
	}
	cfg.Capacity = max(cfg.Capacity, len(rows))
	tmp := fc.Path + ".tmp"
	reg := &fileRegion{path: tmp}
	cfg.Region = reg
	c.fileID = newFileID()
	defer func() {
		if !done && reg.f != nil {
			c.publish(nil)
			c.sealer.cur.free()
			os.Remove(tmp)
		}
	}()
	if err := c.Init(l, cfg); err != nil {
		return rep, err
	}
	g := c.sealer.cur
	c.epoch = fc.Commit.Epoch // the new file has sealed nothing: its epochs follow the log, whatever the old one had seen
	c.file = &ownFile{fc.Path, fc.Writer, fc.Dimensions, fc.Commit.Epoch, fc.Commit.Fingerprint, fc.Step}
	c.committed = c.writeHead(reg, g, c.fileID, c.file.born)
	for i := range rows {
		k := &rows[i].Key
		id, ok := stream(k)
		if !ok {
			return rep, fmt.Errorf("%w: counter file: no room for the streams of its %d rows", ErrConfig, len(rows))
		}
		hash, q := l.Hash(k, &c.seed)
		place, _ := g.reserve()
		g.addWide(c.take(g, k, g.Bucket(hash), q, id, place), rows[i].Open)
	}
	if err := errors.Join(reg.f.Sync(), os.Rename(tmp, fc.Path), syncDir(filepath.Dir(fc.Path))); err != nil {
		return rep, fmt.Errorf("accounting/shardmap: counter file: %w", err)
	}
	c.lock, done = lock, true
	return rep, nil
}

// writeHead fills in a new file's header and returns its committed word.
func (c *Core) writeHead(reg *fileRegion, g *Gen, id [16]byte, born uint64) []uint64 {
	h := fileHead{slots: uint64(g.n), words: uint64(g.words), cols: uint64(g.cols), capacity: uint64(g.capacity), buckets: g.buckets,
		seed: c.seed, writer: c.file.writer, id: id, born: born, layout: c.layout.Name, dims: c.file.dims}
	copy(reg.mem, h.append(make([]byte, 0, fileHeader)))
	committed := words(at(bytePointer(reg.mem), fileHeader-8), 1)
	committed[0] = c.epoch
	return committed
}

// beginFile lets the next generation be a file beside the current one.
func (c *Core) beginFile() { c.cfg.Region = &fileRegion{path: c.file.path + ".tmp"} }

// endFile lets next's file, which holds every open unit while nobody counts, take the place of the current one: nothing of it has been sealed, and
// it was made after the log's last commit, as at an open. On an error the current file is as it was.
func (c *Core) endFile(next *Gen) error {
	reg, id, born := c.cfg.Region.(*fileRegion), newFileID(), c.lastFingerprint()
	committed := c.writeHead(reg, next, id, born)
	c.fileStep()
	err := func() error {
		st, err := os.Stat(c.file.path) // its time says until when all is sealed
		if err != nil {
			return err
		}
		if err := os.Chtimes(reg.path, st.ModTime(), st.ModTime()); err != nil {
			return err
		}
		return os.Rename(reg.path, c.file.path)
	}()
	if err != nil {
		return fmt.Errorf("accounting/shardmap: counter file: %w", errors.Join(err, os.Remove(reg.path)))
	}
	c.committed, c.fileID, c.file.born, c.file.epoch = committed, id, born, c.epoch
	c.fileStep()
	return nil
}

// takeOver reads the rows of the file that is there, or sets it aside where it is damaged or stale. The error may be ErrFileForeign.
func (c *Core) takeOver(fc *FileConfig, rep *FileReport) ([]FileRow, error) {
	f, why, err := openFound(fc.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if fc.Commit.Epoch > 0 {
			rep.SetAside = "counter file is missing"
		}
		return nil, nil
	}
	if f != nil {
		defer f.g.free()
		if err = f.belongs(c, fc); err == nil {
			why = f.check(fc)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fc.Path, err)
	}
	rep.Found = true
	if why != "" {
		rep.SetAside = why
		rep.KeptAs = badName(fc.Path)
		if err := os.Rename(fc.Path, rep.KeptAs); err != nil {
			return nil, fmt.Errorf("accounting/shardmap: counter file: %w", err)
		}
		return nil, nil
	}
	rep.Committed = f.committed
	return f.rows(c, fc, rep)
}

// mostBad is how many files set aside are kept: they are memory. The last name is used again, so that the first ones stay.
const mostBad = 8

// badName returns the name for a file set aside: path.bad, then path.bad.1 and so on.
func badName(path string) string {
	name := path + ".bad"
	for i := 1; i < mostBad; i++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s.bad.%d", path, i)
	}
	return name
}

func openFound(path string) (f *found, why string, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	b := make([]byte, fileHeader)
	n, err := file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return nil, err.Error(), nil
	}
	f = new(found)
	if why, err := f.head.parse(b[:n]); why != "" || err != nil {
		return nil, why, err
	}
	f.committed = binary.NativeEndian.Uint64(b[fileHeader-8:])
	st, err := file.Stat()
	if err != nil {
		return nil, "", err
	}
	p := planFor(int(f.head.slots), int(f.head.words), int(f.head.cols))
	if st.Size() < fileHeader+int64(p.total) {
		return nil, fmt.Sprintf("%d bytes, want %d", st.Size(), fileHeader+int64(p.total)), nil
	}
	// Private: what is found stays as it is.
	mem, err := unix.Mmap(int(file.Fd()), 0, fileHeader+int(p.total), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return nil, "", fmt.Errorf("mmap: %w", err)
	}
	f.g = &Gen{n: uint32(f.head.slots), cols: int(f.head.cols), words: int(f.head.words), buckets: f.head.buckets}
	f.g.place(mem[fileHeader:], p)
	f.g.wide.Store(1) // so that high words are looked at
	f.g.free = func() { _ = unix.Munmap(mem) }
	return f, "", nil
}

// fileRegion makes one file, with every page of it allocated, so that no store can fail for want of memory.
type fileRegion struct {
	path string
	f    *os.File
	mem  []byte
}

// Alloc implements Region, once.
func (r *fileRegion) Alloc(n int) ([]byte, func(), error) {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(fileHeader+n)); err != nil {
		return nil, nil, errors.Join(err, f.Close(), os.Remove(r.path))
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, fileHeader+n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close(), os.Remove(r.path))
	}
	adviseHuge(mem)
	r.f, r.mem = f, mem
	return mem[fileHeader:], func() { _ = unix.Munmap(mem); f.Close() }, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// CloseFile gives up the file's lock, after the last Commit. The file stays.
func (c *Core) CloseFile() error {
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}
