package wal

import (
	"fmt"
	"slices"
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
