package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// NewWriter gives the log another writer id, durably: new streams start at seq 0. What is pending stays and is exported under
// the old id; the old streams take no more entries. The last commit's epoch and file states stay.
func (l *Log) NewWriter() (canon.ID, error) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.closed {
		return canon.ID{}, ErrClosed
	}
	if l.unsettled != nil {
		return canon.ID{}, fmt.Errorf("%w: epoch %d", ErrUnsettled, l.unsettled.epoch)
	}
	l.mu.Lock()
	old := l.writer
	l.mu.Unlock()
	id := newID()
	l.setWriter(id)
	if err := l.rotate(0, true, nil); err != nil {
		l.setWriter(old)
		return canon.ID{}, l.note(err)
	}
	return id, nil
}

// setWriter makes id the writer; only its streams are open.
func (l *Log) setWriter(id canon.ID) {
	l.mu.Lock()
	l.writer = id
	for i := range l.streams {
		l.streams[i].retired = l.streams[i].key.Writer != id
	}
	l.mu.Unlock()
}

// Close writes acks and cursors, syncs, and releases the directory, in every case. Its error says what is not durable; a
// commit whose outcome is unknown stays so.
func (l *Log) Close() error {
	l.wmu.Lock()
	if l.closed {
		l.wmu.Unlock()
		return nil
	}
	err := l.heal()
	if err == nil {
		err = l.writeAcks()
	}
	if err == nil && l.o.Fsync != Never {
		if err = l.sync(); err == nil {
			l.mark()
			l.dropDead()
		}
	}
	if l.unsettled != nil {
		err = errors.Join(err, fmt.Errorf("%w: epoch %d", ErrOutcomeUnknown, l.unsettled.epoch))
	}
	err = errors.Join(err, l.release())
	l.wmu.Unlock()
	l.done.Wait()
	return err
}

// release closes everything without writing.
func (l *Log) release() error {
	close(l.stop)
	l.countersMu.Lock() // a checkpoint under way ends before another process may begin one
	defer l.countersMu.Unlock()
	l.mu.Lock()
	l.closed = true
	segs := l.segs
	l.segs = nil
	var idle []*segment
	for _, s := range segs {
		s.dropped = true // a Read under way closes it
		if s.pins == 0 {
			idle = append(idle, s)
		}
	}
	l.mu.Unlock()
	for _, s := range idle {
		_ = s.f.Close()
	}
	if l.spare != nil {
		l.discard(l.spare, l.path(spareName))
		l.setSpare(nil)
	}
	return l.lock.Close()
}

// syncLoop is the timer of the Interval policy.
func (l *Log) syncLoop() {
	defer l.done.Done()
	t := time.NewTicker(l.o.FsyncInterval)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
		}
		l.wmu.Lock()
		if !l.closed {
			l.intervalSync()
		}
		l.wmu.Unlock()
	}
}

// intervalSync makes what was written durable; where that fails, the live entries move to a new segment at once.
func (l *Log) intervalSync() {
	l.mu.Lock()
	due := l.writes > l.synced
	l.mu.Unlock()
	if !due && !l.cur.failed {
		return
	}
	if !l.cur.failed && l.sync() == nil {
		l.mark()
		l.dropDead()
		return
	}
	if err := l.heal(); err != nil {
		_ = l.note(fmt.Errorf("accounting/wal: syncing: %w", err))
	}
}
