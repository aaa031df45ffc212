package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

// This file moves live entries from one segment to another: out of failed, damaged and wasteful ones.

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
