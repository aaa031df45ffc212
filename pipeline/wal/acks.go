package wal

import (
	"fmt"

	"github.com/ron-accounting/ron-accounting/canon"
)

// This file has how far the sinks and the streams are: what is told to the log, and what it answers. All of it is under Log.mu; writing it down is
// compact.go's.

// own returns the stream with the log's writer, where it names none. Caller holds mu.
func (l *Log) own(s Stream) Stream {
	if s.Writer == (canon.ID{}) {
		s.Writer = l.writer
	}
	return s
}

// Mark says that a stream is acked up to and with Seq.
type Mark struct {
	Stream Stream
	Seq    uint64
	Digest canon.Digest // of Seq; kept by SetCursors only
}

// Ack records that all required sinks have acked the stream up to and with seq: its entries up to there are no longer
// kept, their Refs are gone. It becomes durable with a later write (Maintain, a new segment, Close); a crash before that
// brings the entries back as pending. A seq already acked, a stream unknown and a seq never used change nothing.
func (l *Log) Ack(s Stream, seq uint64) {
	l.mu.Lock()
	l.ack(s, seq)
	l.mu.Unlock()
}

// AckBatch is Ack for many.
func (l *Log) AckBatch(marks []Mark) {
	l.mu.Lock()
	for i := range marks {
		l.ack(marks[i].Stream, marks[i].Seq)
	}
	l.mu.Unlock()
}

func (l *Log) ack(key Stream, seq uint64) {
	i, ok := l.index[l.own(key)]
	if !ok {
		return
	}
	s := &l.streams[i]
	if seq < s.acked || seq >= s.next {
		return
	}
	for s.first != 0 && l.nodes[s.first].seq <= seq {
		n := s.first
		s.ackedCum = l.nodes[n].cum
		s.first = l.nodes[n].next
		l.freeNode(n)
	}
	if s.first == 0 {
		s.last = 0
	}
	s.acked = seq + 1
	if s.acked == s.next {
		s.ackedCum, s.vague = s.cum, false
	}
	l.touch(i)
}

// touch puts a stream on the list of those whose ack is to be written.
func (l *Log) touch(i uint32) {
	if s := &l.streams[i]; !s.ackDirty {
		s.ackDirty = true
		l.dirty = append(l.dirty, i)
	}
}

// SetCursor records that the named sink has acked the stream up to and with seq, whose digest is d. Durable as Ack is.
// Cursors never go back. At most 255 sinks; a name has 1 to 64 bytes: else ErrInvalid.
func (l *Log) SetCursor(sinkName string, s Stream, seq uint64, d canon.Digest) error {
	m := [1]Mark{{s, seq, d}}
	return l.SetCursors(sinkName, m[:])
}

// SetCursors is SetCursor for many streams of one sink.
func (l *Log) SetCursors(sinkName string, marks []Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, err := l.sinkOf(sinkName)
	if err != nil {
		return err
	}
	for i := range marks {
		if si, ok := l.index[l.own(marks[i].Stream)]; ok {
			l.setCursor(k, si, cursor{marks[i].Seq + 1, marks[i].Digest})
		}
	}
	return nil
}

func (l *Log) sinkOf(name string) (int, error) {
	for i := range l.sinks {
		if l.sinks[i].name == name {
			return i, nil
		}
	}
	if len(name) == 0 || len(name) > maxSinkName || len(l.sinks) == maxSinks {
		return 0, fmt.Errorf("%w: sink %.80q: want a name of 1 to %d bytes and at most %d sinks", ErrInvalid, name, maxSinkName, maxSinks)
	}
	l.sinks = append(l.sinks, sink{name: name})
	return len(l.sinks) - 1, nil
}

func (l *Log) setCursor(k int, si uint32, c cursor) {
	s := &l.sinks[k]
	for len(s.cursors) < len(l.streams) {
		s.cursors = append(s.cursors, cursor{})
		s.isDirty = append(s.isDirty, false)
	}
	if c.next <= s.cursors[si].next {
		return
	}
	s.cursors[si] = c
	if !s.isDirty[si] {
		s.isDirty[si] = true
		s.dirty = append(s.dirty, si)
	}
}

// Cursor returns how far the named sink has acked a stream; ok is false where it acked nothing.
func (l *Log) Cursor(sinkName string, s Stream) (seq uint64, d canon.Digest, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	si, known := l.index[l.own(s)]
	for k := range l.sinks {
		if c := l.sinks[k].cursors; known && l.sinks[k].name == sinkName && int(si) < len(c) && c[si].next > 0 {
			return c[si].next - 1, c[si].digest, true
		}
	}
	return 0, canon.Digest{}, false
}

// Head returns what the log knows of a stream; ok is false where it never had an entry.
func (l *Log) Head(s Stream) (h Head, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.index[l.own(s)]; ok && l.streams[i].next > 0 {
		return l.headOf(&l.streams[i]), true
	}
	return Head{}, false
}

func (l *Log) headOf(s *stream) Head {
	h := Head{Stream: s.key, Next: s.next, Digest: s.digest, Known: s.known, SealedAtMS: s.sealedMS, WindowEndS: s.windowEndS,
		Units: s.cum, Acked: s.acked, AckedUnits: s.ackedCum, Retired: s.retired}
	if s.first != 0 {
		h.PendingFirst = Ref{s.first, l.nodes[s.first].gen}
	}
	return h
}
