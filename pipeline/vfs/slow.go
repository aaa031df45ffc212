package vfs

import (
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"
)

// Slow wraps a file system whose Sync and Datasync take an extra lo..hi, evenly distributed, reproducible by seed:
// the disk of `benchrig --fsync-jitter` and `--chaos fsync=`.
func Slow(fsys FS, lo, hi time.Duration, seed uint64) FS {
	return &slowFS{FS: fsys, lo: lo, hi: max(lo, hi), rng: rand.New(rand.NewPCG(seed, 0x510e527f))}
}

type slowFS struct {
	FS
	lo, hi time.Duration
	mu     sync.Mutex // guards rng
	rng    *rand.Rand
}

func (s *slowFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &slowFile{File: f, s: s}, nil
}

func (s *slowFS) pause() {
	s.mu.Lock()
	d := s.lo + time.Duration(s.rng.Int64N(int64(s.hi-s.lo)+1))
	s.mu.Unlock()
	time.Sleep(d)
}

type slowFile struct {
	File
	s *slowFS
}

func (f *slowFile) Sync() error     { f.s.pause(); return f.File.Sync() }
func (f *slowFile) Datasync() error { f.s.pause(); return f.File.Datasync() }
