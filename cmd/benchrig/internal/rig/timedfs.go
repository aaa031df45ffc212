package rig

import (
	"io/fs"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// timedFS times every sync of the WAL, injected delays included.
type timedFS struct {
	vfs.FS
	tell func(time.Duration)
	mu   sync.Mutex // guards hist
	hist *hdrhistogram.Histogram
}

func newTimedFS(under vfs.FS, tell func(time.Duration)) *timedFS {
	return &timedFS{FS: under, tell: tell, hist: hdrhistogram.New(1, int64(time.Minute), 3)}
}

func (t *timedFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := t.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &timedFile{f, t}, nil
}

func (t *timedFS) note(start time.Time) {
	d := time.Since(start)
	t.tell(d)
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.hist.RecordValue(min(int64(d), int64(time.Minute)))
}

type timedFile struct {
	vfs.File
	t *timedFS
}

func (f *timedFile) Sync() error {
	defer f.t.note(time.Now())
	return f.File.Sync()
}

func (f *timedFile) Datasync() error {
	defer f.t.note(time.Now())
	return f.File.Datasync()
}
