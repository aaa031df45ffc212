package wal

import (
	"errors"
	"fmt"

	"github.com/ron-accounting/ron-accounting/canon"
)

// This file has the unacked entries: their list a stream, the nodes, and their bodies on the disk.

// Read appends the entry's body to dst, checked against its digest. ErrGone after an Ack, ErrWALCorrupt where the disk no
// longer has what was written.
func (l *Log) Read(r Ref, dst []byte) ([]byte, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return dst, ErrClosed
	}
	if r.node == 0 || int(r.node) >= len(l.nodes) || l.nodes[r.node].gen != r.gen || l.nodes[r.node].seg == nil {
		l.mu.Unlock()
		return dst, ErrGone
	}
	n := l.nodes[r.node]
	key := l.streams[n.stream].key
	n.seg.pins++
	l.mu.Unlock()

	dst, err := readBody(n.seg, n.off+entryFrameSize(key.Dimension, 0), int(n.body), &n.digest, dst)
	l.unpin(n.seg)
	if err != nil {
		if errors.Is(err, ErrWALCorrupt) {
			l.mu.Lock()
			l.stats.Corrupt++
			l.mu.Unlock()
		}
		return dst, fmt.Errorf("stream %v seq %d: %w", key, n.seq, err)
	}
	return dst, nil
}

func readBody(s *segment, off int64, size int, want *canon.Digest, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, size)...)
	body := dst[start:]
	n, err := s.f.ReadAt(body, off)
	if n < size {
		n, err = s.f.ReadAt(body, off) // some errors pass
	}
	if n < size {
		return dst[:start], fmt.Errorf("%w: segment %d offset %d: read %d of %d bytes: %w", ErrWALCorrupt, s.num, off, n, size, err)
	}
	if got := digestOf(body); got != *want {
		return dst[:start], fmt.Errorf("%w: segment %d offset %d: body digest: got %v, want %v", ErrWALCorrupt, s.num, off, got, *want)
	}
	return dst, nil
}

func (l *Log) unpin(s *segment) {
	l.mu.Lock()
	s.pins--
	closeNow := s.dropped && s.pins == 0
	l.mu.Unlock()
	if closeNow {
		_ = s.f.Close() // read only by now
	}
}

func (l *Log) newNode() uint32 {
	if n := l.free; n != 0 {
		l.free = l.nodes[n].next
		return n
	}
	l.nodes = append(l.nodes, node{})
	return uint32(len(l.nodes) - 1)
}

// link puts an entry at the end of its stream's list. The caller has set the stream's head.
func (l *Log) link(si uint32, seg *segment, off int64, seq uint64, d canon.Digest, cum Units, body int, sealedMS uint64) Ref {
	n := l.newNode()
	p := &l.nodes[n]
	*p = node{seg: seg, off: off, seq: seq, digest: d, cum: cum, body: uint32(body), stream: si, gen: p.gen}
	s := &l.streams[si]
	if s.last == 0 {
		s.first = n
	} else {
		l.nodes[s.last].next = n
	}
	s.last = n
	l.entries++
	seg.live++
	seg.liveBytes += entryFrameSize(s.key.Dimension, body)
	if seg.oldestMS == 0 || sealedMS < seg.oldestMS {
		seg.oldestMS = sealedMS
	}
	return Ref{n, p.gen}
}

// freeNode gives up an entry that is already unlinked from its stream.
func (l *Log) freeNode(n uint32) {
	p := &l.nodes[n]
	l.leave(p)
	l.entries--
	*p = node{gen: p.gen + 1, next: l.free}
	l.free = n
}

// leave takes an entry out of its segment's account.
func (l *Log) leave(p *node) {
	p.seg.live--
	p.seg.liveBytes -= entryFrameSize(l.streams[p.stream].key.Dimension, int(p.body))
	if p.seg.live == 0 {
		p.seg.deadAt = never
	}
}

// supersede drops the pending entries of a stream from seq from on: a committed gap has declared them lost or sealed anew.
func (l *Log) supersede(si uint32, from uint64) {
	s := &l.streams[si]
	var keep uint32
	n := s.first
	for n != 0 && l.nodes[n].seq < from {
		keep, n = n, l.nodes[n].next
	}
	if n == 0 {
		return
	}
	if keep == 0 {
		s.first = 0
	} else {
		l.nodes[keep].next = 0
	}
	s.last = keep
	for n != 0 {
		next := l.nodes[n].next
		l.freeNode(n)
		n = next
	}
}

// streamOf returns the index of a stream, making it where new.
func (l *Log) streamOf(key Stream) uint32 {
	if i, ok := l.index[key]; ok {
		return i
	}
	i := uint32(len(l.streams))
	l.streams = append(l.streams, stream{key: key})
	l.index[key] = i
	l.nameBytes += int64(len(key.Dimension))
	return i
}
