package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Maintain does what can wait: it writes new acks and cursors (not synced), brings live entries out of a failed segment, removes
// and compacts segments, and keeps the spare. Call it about once a second, and after a failure; it returns why the log is
// unhealthy, nil where it is not. It does not settle a commit whose outcome is unknown: only Append can.
func (l *Log) Maintain() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.closed {
		return ErrClosed
	}
	err := l.heal()
	if err == nil {
		err = l.writeAcks()
	}
	if err == nil {
		err = l.waitDead()
	}
	l.dropDead()
	if err == nil {
		err = l.compact()
	}
	if err == nil {
		err = l.ensureSpare()
	}
	if err == nil && l.unsettled != nil {
		err = fmt.Errorf("%w: epoch %d", ErrOutcomeUnknown, l.unsettled.epoch)
	}
	return l.note(err)
}

// heal replaces a failed current segment, and tries again to empty the failed ones.
func (l *Log) heal() error {
	if l.cur.closed || l.cur.failed {
		return l.rotate(0, true, nil)
	}
	left, _ := l.collect(func(s *segment, _ int64) bool { return s.failed })
	var frame []byte
	for i := range left {
		if _, _, err := l.fetch(&left[i], &frame); err == nil {
			return l.rotate(0, true, nil)
		}
	}
	return nil // nothing is left there, or nothing that can be read
}

// tidy is the part of Maintain that follows a commit.
func (l *Log) tidy() {
	l.dropDead()
	l.mu.Lock()
	dead := false
	for _, s := range l.segs {
		dead = dead || s != l.cur && s.live == 0 && s.deadAt == never
	}
	l.mu.Unlock()
	if dead {
		_ = l.writeAcks() // the next commit's sync makes them durable, and the segments go then
	}
	_ = l.ensureSpare() // its absence shows in Stats; nothing depends on it now
}

// writeAcks appends the acks and cursors that changed. They are not synced: the next commit's sync covers them.
func (l *Log) writeAcks() error {
	for {
		l.mu.Lock()
		dead := l.newlyDead()
		if len(l.dirty) == 0 && !l.cursorsDirty() {
			for _, s := range dead {
				s.deadAt = l.writes // all of it is written already
			}
			l.mu.Unlock()
			return nil
		}
		body, n, undo := l.takeDirty()
		more := len(l.dirty) > 0 || l.cursorsDirty()
		l.mu.Unlock()
		size := frameSize(acksFields, len(body))
		err := l.ready(size, true)
		if err == nil {
			var digest = digestOf(body)
			b := beginFrame(make([]byte, 0, size), kindAcks, 0, l.cur.num, l.cur.end, len(body), &digest)
			b = append(endFrame(appendProgress(b, n, l.state.epoch), 0), body...)
			if _, err = l.cur.f.WriteAt(b, l.cur.end); err != nil {
				l.failed(l.cur, false)
			}
		}
		if err != nil {
			l.mu.Lock()
			undo()
			l.mu.Unlock()
			return err
		}
		l.advance(l.cur.end + size)
		if !more {
			l.mu.Lock()
			for _, s := range dead {
				s.deadAt = l.writes
			}
			l.mu.Unlock()
			return nil
		}
	}
}

func (l *Log) cursorsDirty() bool {
	return slices.ContainsFunc(l.sinks, func(s sink) bool { return len(s.dirty) > 0 })
}

// takeDirty encodes up to 1 MiB of changed acks and cursors and takes them off the lists; undo puts them back.
func (l *Log) takeDirty() (body []byte, n uint64, undo func()) {
	const limit = 1 << 20
	i := 0
	for ; i < len(l.dirty) && len(body) < limit; i++ {
		s := &l.streams[l.dirty[i]]
		s.ackDirty = false
		body = appendAckRecord(body, s)
		n++
	}
	acks := slices.Clone(l.dirty[:i])
	l.dirty = append(l.dirty[:0], l.dirty[i:]...)
	taken := make([][]uint32, len(l.sinks))
	for k := range l.sinks {
		sk := &l.sinks[k]
		i := 0
		for ; i < len(sk.dirty) && len(body) < limit; i++ {
			si := sk.dirty[i]
			sk.isDirty[si] = false
			body = appendCursorRecord(body, sk.name, l.streams[si].key, &sk.cursors[si])
			n++
		}
		taken[k] = slices.Clone(sk.dirty[:i])
		sk.dirty = append(sk.dirty[:0], sk.dirty[i:]...)
	}
	return body, n, func() {
		for _, si := range acks {
			if s := &l.streams[si]; !s.ackDirty {
				s.ackDirty = true
				l.dirty = append(l.dirty, si)
			}
		}
		for k := range taken {
			sk := &l.sinks[k]
			for _, si := range taken[k] {
				if !sk.isDirty[si] {
					sk.isDirty[si] = true
					sk.dirty = append(sk.dirty, si)
				}
			}
		}
	}
}

// waitDead syncs where a segment could go but for that.
func (l *Log) waitDead() error {
	l.mu.Lock()
	wait := false
	for _, s := range l.segs {
		wait = wait || s != l.cur && s.live == 0 && s.deadAt != never && s.deadAt > l.synced
	}
	l.mu.Unlock()
	if !wait {
		return nil
	}
	return l.sync()
}

// compact empties one segment that is mostly acked, where the log has several.
func (l *Log) compact() error {
	l.mu.Lock()
	var victim *segment
	used, _ := l.used()
	if len(l.segs) > 8 || used > l.o.MaxBytes/2 {
		victim = l.sparsest()
	}
	l.mu.Unlock()
	if victim == nil {
		return nil
	}
	_, err := l.moveOut(func(s *segment, _ int64) bool { return s == victim })
	return err
}

// sparsest returns the segment with the smallest live part, if that is below a quarter of it; caller holds mu.
func (l *Log) sparsest() (victim *segment) {
	for _, s := range l.segs {
		if s == l.cur || s.live == 0 || s.stuck || s.liveBytes > s.end/4 {
			continue
		}
		if victim == nil || s.liveBytes*victim.end < victim.liveBytes*s.end {
			victim = s
		}
	}
	return victim
}

// wasteful returns the segment that takes most beside its live entries and a checkpoint; caller holds mu.
func (l *Log) wasteful() (victim *segment) {
	most := l.checkpointSize() + 2*markSize
	for _, s := range l.segs {
		if waste := s.end - s.liveBytes; s != l.cur && s.live > 0 && !s.stuck && waste > most {
			victim, most = s, waste
		}
	}
	return victim
}

// reclaim brings the log's bytes below limit, as far as acked entries allow.
func (l *Log) reclaim(limit int64) {
	below := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		used, _ := l.used()
		return used <= limit
	}
	l.dropDead()
	if below() {
		return
	}
	// A new segment's checkpoint carries all acks, durably, and makes the old current one a candidate.
	if l.rotate(0, true, nil) != nil {
		return
	}
	l.dropDead()
	for range len(l.segs) {
		if below() {
			return
		}
		l.mu.Lock()
		victim := l.wasteful()
		l.mu.Unlock()
		if victim == nil {
			return
		}
		if _, err := l.moveOut(func(s *segment, _ int64) bool { return s == victim }); err != nil {
			return
		}
		if l.writeAcks() != nil || l.waitDead() != nil {
			return
		}
		l.dropDead()
	}
}

// move is one live entry on its way to another segment.
type move struct {
	ref Ref
	n   node
	key Stream
	at  int64
}

// moveOut copies the live entries that want accepts (by segment and offset) into the current segment, syncs it, and lets them live there; where
// it has no room for them, into a new one.
func (l *Log) moveOut(want func(*segment, int64) bool) (moved int, err error) {
	moves, need := l.collect(want)
	if len(moves) == 0 {
		return 0, nil
	}
	if l.cur.closed || l.cur.end+need+markSize > l.cur.size {
		return len(moves), l.rotate(0, true, want)
	}
	l.syncAccepted()
	if l.cur.failed {
		return 0, l.rotate(0, true, want)
	}
	before := l.cur.end
	done, end, err := l.copyEntries(l.cur, before, moves, need)
	if err != nil {
		l.failed(l.cur, false)
		return 0, err
	}
	l.advance(end)
	if l.o.Fsync != Never {
		if err := l.sync(); err != nil {
			l.mu.Lock()
			l.cur.end = before
			l.mu.Unlock()
			return 0, err
		}
	}
	moved = l.relocate(l.cur, done)
	if l.o.Fsync != Never {
		l.mark()
	}
	return moved, nil
}

// collect returns the live entries that want accepts, in the order of the disk, and the bytes of their frames.
func (l *Log) collect(want func(*segment, int64) bool) (moves []move, need int64) {
	l.mu.Lock()
	for i := range l.nodes {
		if n := &l.nodes[i]; n.seg != nil && (n.seg != l.cur || n.seg.failed) && want(n.seg, n.off) {
			key := l.streams[n.stream].key
			moves = append(moves, move{ref: Ref{uint32(i), n.gen}, n: *n, key: key})
			need += entryFrameSize(key.Dimension, int(n.body))
		}
	}
	l.mu.Unlock()
	slices.SortFunc(moves, func(a, b move) int {
		return cmp.Or(cmp.Compare(a.n.seg.num, b.n.seg.num), cmp.Compare(a.n.off, b.n.off))
	})
	return moves, need
}

// copyEntries writes moves into s from pos on. An entry that can be read neither from the disk nor by Options.Body stays where it is, and is
// counted as corrupt; done are the others. An error is one of writing.
func (l *Log) copyEntries(s *segment, pos int64, moves []move, bytes int64) (done []move, end int64, err error) {
	if len(moves) == 0 {
		return nil, pos, nil
	}
	done = moves[:0]
	buf := make([]byte, 0, min(1<<20, bytes))
	var frame []byte
	for _, m := range moves {
		e, body, err := l.fetch(&m, &frame)
		if err != nil {
			l.mu.Lock()
			m.n.seg.stuck = true
			l.stats.Corrupt++
			l.mu.Unlock()
			continue
		}
		if len(buf) > 0 && len(buf)+len(body)+maxHeader > cap(buf) {
			if _, err := s.f.WriteAt(buf, pos); err != nil {
				return nil, pos, err
			}
			pos += int64(len(buf))
			buf = buf[:0]
		}
		m.at = pos + int64(len(buf))
		e.flags |= flagMoved
		buf = append(appendEntryHeader(buf, &e, s.num, m.at), body...)
		done = append(done, m)
	}
	if len(buf) > 0 {
		if _, err := s.f.WriteAt(buf, pos); err != nil {
			return nil, pos, err
		}
	}
	return done, pos + int64(len(buf)), nil
}

// relocate lets copied entries live in s. Those acked meanwhile are left out.
func (l *Log) relocate(s *segment, done []move) (moved int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range done {
		m := &done[i]
		p := &l.nodes[m.ref.node]
		if p.gen != m.ref.gen || p.seg != m.n.seg {
			continue
		}
		l.leave(p)
		p.seg, p.off = s, m.at
		s.live++
		s.liveBytes += entryFrameSize(m.key.Dimension, int(p.body))
		if s.oldestMS == 0 || m.n.seg.oldestMS < s.oldestMS {
			s.oldestMS = m.n.seg.oldestMS
		}
		moved++
	}
	return moved
}

// fetch reads an entry for moving: its header and body as on disk, or, where the disk fails, the caller's copy of the body, from
// which the header can be had again.
func (l *Log) fetch(m *move, scratch *[]byte) (e meta, body []byte, err error) {
	size := int(entryFrameSize(m.key.Dimension, int(m.n.body)))
	*scratch = slices.Grow((*scratch)[:0], size)[:size]
	got, err := m.n.seg.f.ReadAt(*scratch, m.n.off)
	if got < size {
		got, err = m.n.seg.f.ReadAt(*scratch, m.n.off) // some errors pass
	}
	if got == size {
		var t names
		if h, ok := parseHeader(*scratch, m.n.seg.version, m.n.seg.num, m.n.off); ok && h.kind == kindEntry && h.digest == m.n.digest && h.size() == int64(size) {
			body = (*scratch)[size-h.body:]
			e, ok = parseEntry(&h, &t)
			if ok && digestOf(body) == m.n.digest {
				e.cum = m.n.cum
				return e, body, nil
			}
		}
		err = fmt.Errorf("%w: segment %d offset %d", ErrWALCorrupt, m.n.seg.num, m.n.off)
	}
	if l.o.Body == nil {
		return meta{}, nil, err
	}
	body = l.o.Body(m.key, m.n.seq)
	if len(body) != int(m.n.body) || digestOf(body) != m.n.digest {
		return meta{}, nil, err
	}
	e, err2 := metaOf(body, m)
	return e, body, errors.Join(err2)
}

// metaOf makes an entry's header from its body: all but the epoch is in a slice.
func metaOf(body []byte, m *move) (e meta, err error) {
	s, err := canon.View(body)
	if err != nil {
		return e, err
	}
	h := s.Head()
	e = meta{stream: m.key, seq: h.Seq, digest: m.n.digest, cum: m.n.cum, sealedMS: h.SealedAtMS, windowStartS: h.WindowStartS,
		windowEndS: h.WindowEndS, body: len(body)}
	if h.Prev != nil {
		e.flags, e.prev = e.flags|flagPrev, *h.Prev
	}
	if h.Gap != nil {
		e.flags, e.gapFrom = e.flags|flagGap, h.Gap.From
	}
	for _, r := range s.Rows() {
		e.units = e.units.Add(UnitsOf(r.Inc))
	}
	return e, nil
}
