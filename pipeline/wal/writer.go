package wal

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

const markSize = frameFixed + markFields + frameCheck

// Append makes a commit durable, all of it or nothing, and sets its entries' Refs. It returns when the policy is met.
// Of its errors, ErrOutcomeUnknown obliges the caller to come back with the same commit; after any other nothing of the commit
// is or will be in the log, and the epoch may be used for another one. The log recovers by itself once the cause is gone.
func (l *Log) Append(c *Commit) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.closed {
		return ErrClosed
	}
	settling := l.unsettled != nil
	if settling && !l.unsettled.same(c) {
		return fmt.Errorf("%w: got epoch %d, want epoch %d with the same slices", ErrUnsettled, c.Epoch, l.unsettled.epoch)
	}
	need, err := l.plan(c)
	if err != nil {
		return err
	}
	if !settling {
		if err := l.capsAllow(need, c); err != nil {
			return l.note(err)
		}
	}
	if err := l.ready(need, c.Reserve || settling); err != nil {
		if settling {
			return l.note(fmt.Errorf("%w: epoch %d: %w", ErrOutcomeUnknown, c.Epoch, err))
		}
		return l.note(fmt.Errorf("%w: epoch %d: %w", certain(err), c.Epoch, err))
	}
	err = l.put(c)
	if err != nil {
		// The write or its sync failed: this segment is done for. Once more, in a new one that disowns the old one's tail.
		err2 := l.ready(need, true)
		if err2 == nil {
			err2 = l.put(c)
		}
		if err2 != nil {
			l.unsettled = newUnsettled(c)
			return l.note(fmt.Errorf("%w: epoch %d: %w; and in a new segment: %w", ErrOutcomeUnknown, c.Epoch, err, err2))
		}
	}
	l.unsettled = nil
	_ = l.note(nil)
	l.tidy()
	return nil
}

// certain is the kind of an error before which nothing was written.
func certain(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return ErrPersistenceFull
		}
	}
	return ErrNotWritten
}

// note keeps the reason of the last failure for Stats and returns it.
func (l *Log) note(err error) error {
	l.mu.Lock()
	l.stats.Err = err
	l.mu.Unlock()
	return err
}

func newUnsettled(c *Commit) *unsettled {
	u := &unsettled{epoch: c.Epoch}
	for i := range c.Entries {
		u.digests = append(u.digests, c.Entries[i].Digest)
	}
	return u
}

func (u *unsettled) same(c *Commit) bool {
	return c.Epoch == u.epoch && slices.EqualFunc(u.digests, c.Entries, func(d canon.Digest, e Entry) bool { return d == e.Digest })
}

// plan checks a commit against the streams and leaves in l.write what its frames will say. It returns the bytes needed.
func (l *Log) plan(c *Commit) (need int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.write
	w.metas, w.idx = w.metas[:0], w.idx[:0]
	w.plan++
	if c.Epoch <= l.state.epoch {
		return 0, fmt.Errorf("%w: epoch: got %d, want more than %d", ErrInvalid, c.Epoch, l.state.epoch)
	}
	table := 0
	for i := range c.Entries {
		e := &c.Entries[i]
		key := e.Stream
		if key.Writer == (canon.ID{}) {
			key.Writer = l.writer
		}
		switch {
		case key.Writer != l.writer:
			return 0, fmt.Errorf("%w: entry %d: writer: got %v, want %v", ErrInvalid, i, key.Writer, l.writer)
		case len(key.Dimension) == 0 || len(key.Dimension) > maxDimension:
			return 0, fmt.Errorf("%w: entry %d: dimension %.80q: want 1 to %d bytes", ErrInvalid, i, key.Dimension, maxDimension)
		case len(e.Body) == 0 || len(e.Body) > maxBody:
			return 0, fmt.Errorf("%w: entry %d: body: got %d bytes, want 1 to %d", ErrInvalid, i, len(e.Body), maxBody)
		}
		si := l.streamOf(key)
		s := &l.streams[si]
		if s.plan != w.plan {
			s.plan, s.planNext, s.planCum = w.plan, s.next, s.cum
		}
		if e.HasGap && (e.GapFrom >= e.Seq || e.GapFrom > s.planNext || e.Seq < s.planNext) || !e.HasGap && e.Seq != s.planNext || e.Seq == never {
			return 0, fmt.Errorf("%w: entry %d: stream %v: seq: got %d (gap %v from %d), want %d", ErrInvalid, i, key, e.Seq, e.HasGap, e.GapFrom, s.planNext)
		}
		s.planNext, s.planCum = e.Seq+1, s.planCum.Add(e.Units)
		m := meta{stream: s.key, seq: e.Seq, epoch: c.Epoch, digest: e.Digest, units: e.Units, cum: s.planCum, sealedMS: e.SealedAtMS,
			windowStartS: e.WindowStartS, windowEndS: e.WindowEndS, body: len(e.Body)}
		if e.HasPrev {
			m.flags, m.prev = m.flags|flagPrev, e.Prev
		}
		if e.HasGap {
			m.flags, m.gapFrom = m.flags|flagGap, e.GapFrom
		}
		w.metas, w.idx = append(w.metas, m), append(w.idx, si)
		need += entryFrameSize(key.Dimension, len(e.Body))
		table += tableRecordSize(key.Dimension)
	}
	if table > maxBody {
		return 0, fmt.Errorf("%w: got %d entries, whose table of %d bytes is above %d", ErrInvalid, len(c.Entries), table, maxBody)
	}
	return need + frameSize(commitFields, table) + markSize, nil
}

// capsAllow checks the caps; where acked entries still fill the log, it compacts first.
func (l *Log) capsAllow(need int64, c *Commit) error {
	check := func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !c.Reserve && l.entries+len(c.Entries) > l.o.MaxEntries {
			return fmt.Errorf("%w: entries: got %d and %d more, want at most %d", ErrPersistenceFull, l.entries, len(c.Entries), l.o.MaxEntries)
		}
		if used, _ := l.used(); used+need > l.bytesCap(c.Reserve) {
			return fmt.Errorf("%w: bytes: got %d and %d more, want at most %d", ErrPersistenceFull, used, need, l.bytesCap(c.Reserve))
		}
		return nil
	}
	err := check()
	if err == nil {
		return nil
	}
	l.mu.Lock()
	_, live := l.used()
	hopeless := live+need+l.overhead() > l.bytesCap(c.Reserve) || l.entries+len(c.Entries) > l.o.MaxEntries && !c.Reserve
	l.mu.Unlock()
	if hopeless {
		return err
	}
	l.reclaim(l.bytesCap(c.Reserve) - need)
	return check()
}

// ready leaves l.cur able to take need bytes.
func (l *Log) ready(need int64, emergency bool) error {
	l.syncAccepted()
	if !l.cur.closed && !l.cur.failed && l.cur.end+need <= l.cur.size {
		return nil
	}
	return l.rotate(need, emergency, nil)
}

// syncAccepted makes durable what the interval policy has accepted before: a commit is written, and a segment left, only then. Its failure is
// told by stats alone; the entries then move to the new segment with the rest.
func (l *Log) syncAccepted() {
	if l.o.Fsync == Interval && l.cur != nil && !l.cur.failed && l.writes > l.synced {
		_ = l.sync()
	}
}

// put writes the planned commit to l.cur, makes it durable by policy, and publishes it.
func (l *Log) put(c *Commit) error {
	w := &l.write
	cur, pos := l.cur, l.cur.end
	info := commitInfo{epoch: c.Epoch, file: c.File, next: c.Next, first: pos, count: len(c.Entries), writer: l.writer}

	// All headers go into one buffer that must not move while the vector points into it.
	heads := frameFixed + commitFields + frameCheck
	for i := range w.metas {
		heads += int(entryFrameSize(w.metas[i].stream.Dimension, 0))
	}
	w.head = slices.Grow(w.head[:0], heads)
	w.table, w.vec = w.table[:0], w.vec[:0]
	for i := range w.metas {
		m := &w.metas[i]
		start := len(w.head)
		w.head = appendEntryHeader(w.head, m, cur.num, pos)
		w.vec = append(w.vec, w.head[start:], c.Entries[i].Body)
		w.table = appendTableRecord(w.table, m)
		pos += entryFrameSize(m.stream.Dimension, m.body)
	}
	var digest canon.Digest
	if len(w.table) > 0 {
		digest = digestOf(w.table)
	}
	start := len(w.head)
	w.head = beginFrame(w.head, kindCommit, 0, cur.num, pos, len(w.table), &digest)
	w.head = endFrame(appendCommitFields(w.head, &info), start)
	w.vec = append(w.vec, w.head[start:], w.table)
	pos += frameSize(commitFields, len(w.table))

	_, err := cur.f.WritevAt(w.vec, cur.end)
	clear(w.vec) // the bodies are the caller's
	if err != nil {
		l.failed(cur, false)
		return err
	}
	before := cur.end
	l.advance(pos)
	if l.o.Fsync == OnSeal {
		if err := l.sync(); err != nil {
			l.mu.Lock()
			cur.end = before
			l.mu.Unlock()
			return err
		}
	}
	l.publish(c, &info, before)
	if l.o.Fsync == OnSeal {
		l.mark()
	}
	return nil
}

// advance accounts a written batch: the current segment is valid up to end.
func (l *Log) advance(end int64) {
	l.mu.Lock()
	l.cur.end = end
	l.writes++
	if l.o.Fsync == Never {
		l.synced = l.writes
	}
	l.mu.Unlock()
}

// failed gives a segment up.
func (l *Log) failed(s *segment, sync bool) {
	s.failed, s.closed = true, true
	l.mu.Lock()
	if sync {
		l.stats.SyncFailures++
	} else {
		l.stats.WriteFailures++
	}
	l.mu.Unlock()
}

// sync makes l.cur durable. After a failure it is given up: a later sync of the same file would prove nothing.
func (l *Log) sync() error {
	start := time.Now()
	err := l.cur.f.Datasync()
	if l.o.OnFsync != nil {
		l.o.OnFsync(time.Since(start))
	}
	if err != nil {
		l.failed(l.cur, true)
		return err
	}
	l.mu.Lock()
	l.stats.Syncs++
	l.synced = l.writes
	l.mu.Unlock()
	l.cur.synced = l.cur.end
	return nil
}

// mark notes in l.cur that everything before is durable. It is not synced itself: after a power cut its absence only means that
// recovery writes the last commit anew.
func (l *Log) mark() {
	l.write.mark = appendMark(l.write.mark[:0], l.cur.num, l.cur.end, l.cur.synced, l.state.epoch)
	if _, err := l.cur.f.WriteAt(l.write.mark, l.cur.end); err != nil {
		l.failed(l.cur, false)
		return
	}
	l.mu.Lock()
	l.cur.end += markSize
	l.mu.Unlock()
}

func appendMark(b []byte, seg uint64, off, synced int64, epoch uint64) []byte {
	var digest canon.Digest
	start := len(b)
	b = beginFrame(b, kindMark, 0, seg, off, 0, &digest)
	return endFrame(appendProgress(b, uint64(synced), epoch), start)
}

// publish makes a written commit the log's state and its entries readable.
func (l *Log) publish(c *Commit, info *commitInfo, off int64) {
	w := &l.write
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range w.metas {
		m, si := &w.metas[i], w.idx[i]
		s := &l.streams[si]
		if m.flags&flagGap != 0 {
			l.supersede(si, m.gapFrom)
			l.settleGap(si, m)
		}
		s.next, s.digest, s.known, s.cum = m.seq+1, m.digest, true, m.cum
		s.sealedMS, s.windowEndS = m.sealedMS, m.windowEndS
		c.Entries[i].Ref = l.link(si, l.cur, off, m.seq, m.digest, m.cum, m.body, m.sealedMS)
		off += entryFrameSize(m.stream.Dimension, m.body)
	}
	l.state, l.lost = *info, false
	l.stats.Commits++
}

// settleGap counts what a gap has superseded as acked, where nothing before it is pending: should damage take the entry that declares it, the
// ones that it superseded must not come back.
func (l *Log) settleGap(si uint32, m *meta) {
	s := &l.streams[si]
	if s.first != 0 || s.acked < m.gapFrom {
		return
	}
	s.acked = m.seq
	s.ackedCum, _ = m.cum.Sub(m.units)
	l.touch(si)
}
