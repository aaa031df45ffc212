package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// Open takes the directory, made where absent, recovers what it holds, and starts a new segment: see the package's Recovery. It fails with
// ErrWALDirUnusable, and then nothing of what the directory held has been changed.
func Open(o Options, id Identity) (*Log, *Recovered, error) {
	start := time.Now()
	o = o.WithDefaults()
	if err := errors.Join(o.Validate(), id.validate()); err != nil {
		return nil, nil, err
	}
	unusable := func(err error) error { return fmt.Errorf("%w: %s: %w", ErrWALDirUnusable, o.Dir, err) }
	if err := makeDir(&o); err != nil {
		return nil, nil, unusable(err)
	}
	l := &Log{o: o, fs: o.FS, id: id, stop: make(chan struct{}), boot: o.BootID()}
	lock, err := o.FS.Lock(l.path(lockName), o.LockWait)
	if err != nil {
		return nil, nil, unusable(err)
	}
	l.lock = lock
	r := newReading(l, false)
	if err = r.run(); err == nil {
		err = r.start()
	}
	if err != nil {
		l.closeFiles()
		return nil, nil, errors.Join(unusable(err), lock.Close())
	}
	l.dropDead()
	_ = l.ensureSpare() // its absence shows in Stats
	if o.Fsync == Interval {
		l.done.Add(1)
		go l.syncLoop()
	}
	r.rec.Duration = time.Since(start)
	return l, r.rec, nil
}

// start makes durable what recovery found: a new segment, with all that may not be.
func (r *reading) start() error {
	l, rec := r.l, r.rec
	if err := r.identify(); err != nil {
		return err
	}
	if rec.NewDir { // an earlier Open may have made the directory and failed then
		if err := l.fs.SyncDir(filepath.Dir(filepath.Clean(l.o.Dir))); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	for _, n := range r.leftovers {
		_ = l.fs.Remove(l.path(n)) // a spare's blocks are wanted now; what stays is truncated by the next one of that name
	}
	unproved := func(s *segment, off int64) bool {
		return s.damaged || s.version != formatVersion || off >= s.synced && l.o.Fsync != Never
	}
	moves, _ := l.collect(unproved)
	rec.Rewritten = len(moves)
	if err := l.rotate(0, true, unproved); err != nil {
		return err
	}
	l.clean()
	return nil
}

// clean forgets which acks and cursors changed: a checkpoint that nobody has acked since says them all.
func (l *Log) clean() {
	for i := range l.streams {
		l.streams[i].ackDirty = false
	}
	l.dirty = l.dirty[:0]
	for k := range l.sinks {
		l.sinks[k].dirty = l.sinks[k].dirty[:0]
		clear(l.sinks[k].isDirty)
	}
}

// identify compares the directory's window with the caller's, and takes over what the caller does not care about.
func (r *reading) identify() error {
	l, rec := r.l, r.rec
	if l.id.WindowS == 0 {
		l.id.WindowS = rec.Window
	}
	if len(l.id.Dimensions) == 0 {
		l.id.Dimensions = rec.Dimensions
	}
	if rec.Window != 0 && l.id.WindowS != rec.Window && len(rec.Heads) > 0 {
		return fmt.Errorf("window: got %d s, want the directory's %d s", l.id.WindowS, rec.Window)
	}
	return nil
}

func (l *Log) closeFiles() {
	for _, s := range l.segs {
		_ = s.f.Close()
	}
	l.segs = nil
}

// makeDir makes the directory and makes that durable.
func makeDir(o *Options) error {
	var made []string
	for dir := filepath.Clean(o.Dir); ; dir = filepath.Dir(dir) {
		if _, err := o.FS.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	slices.Reverse(made)
	for _, dir := range made {
		if err := o.FS.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}
