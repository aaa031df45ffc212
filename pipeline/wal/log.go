package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Log is an open write-ahead log. All methods are safe for concurrent use. Append, Maintain, NewWriter and Close wait
// for each other and for the disk; Ack, SetCursor, Read's bookkeeping, Stats and Room never wait for a sync.
type Log struct {
	o    Options
	fs   vfs.FS
	lock io.Closer
	boot [16]byte
	stop chan struct{} // closed by Close; ends the sync timer
	done sync.WaitGroup

	wmu       sync.Mutex // the writer: everything that changes files. Taken before mu.
	cur       *segment   // appended to; by wmu
	nextNum   uint64
	oldest    uint64 // no segment below is in the directory, durably
	unsettled *unsettled
	spare     vfs.File
	write     scratch
	closed    bool // changed under wmu and mu, read under either

	countersMu sync.Mutex // the writer of the counters' checkpoint. Taken after wmu, before mu.

	mu        sync.Mutex // never held during I/O
	writer    canon.ID
	id        Identity
	segs      []*segment // by number; the last is cur
	index     map[Stream]uint32
	streams   []stream
	nameBytes int64  // of all streams' dimensions
	nodes     []node // 0 is none
	free      uint32 // first of the free nodes
	entries   int    // live nodes
	sinks     []sink
	dirty     []uint32 // streams with ackDirty
	state     commitInfo
	lost      bool   // state.file is not known to be that of state.epoch
	writes    uint64 // batches written
	synced    uint64 // of them durable (or as durable as the policy makes them)
	stats     Stats
}

// stream is the state of one chain.
type stream struct {
	key           Stream
	next, acked   uint64
	digest        canon.Digest
	known         bool
	retired       bool
	vague         bool // cum leaves some entries out: damage took them
	guessed       bool // recovery: cum may leave some out
	ackDirty      bool
	sealedMS      uint64
	windowEndS    uint64
	cum, ackedCum Units
	first, last   uint32 // its nodes, by seq
	doneIn        uint64 // retired: the first segment whose checkpoint says that all is acked
	plan          uint64 // the Append that planNext and planCum belong to
	planNext      uint64
	planCum       Units
}

// node is an unacked entry.
type node struct {
	seg    *segment // nil: free
	off    int64    // of its frame
	seq    uint64
	digest canon.Digest
	cum    Units
	body   uint32
	stream uint32
	next   uint32 // of the stream, or of the free list
	gen    uint32 // changed when freed, so that an old Ref is seen
}

// cursor is how far a sink has acked a stream: seqs below next; digest is that of next-1.
type cursor struct {
	next   uint64
	digest canon.Digest
}

type sink struct {
	name    string
	cursors []cursor // by stream
	dirty   []uint32
	isDirty []bool
}

// unsettled remembers a commit whose outcome is unknown.
type unsettled struct {
	epoch   uint64
	digests []canon.Digest
}

// scratch is what Append reuses.
type scratch struct {
	head, table []byte
	mark        []byte
	vec         [][]byte
	metas       []meta
	idx         []uint32
	plan        uint64
}

// Writer returns the id that this log's streams carry.
func (l *Log) Writer() canon.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writer
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
	i, ok := l.index[key]
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
		if si, ok := l.index[marks[i].Stream]; ok {
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
	si, known := l.index[s]
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
	if i, ok := l.index[s]; ok && l.streams[i].next > 0 {
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

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }

func (l *Log) nowMS() uint64 { return uint64(max(0, l.o.Now().UnixMilli())) }

// Stats returns the log's state as of now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.MaxBytes, s.MaxEntries = l.o.MaxBytes, l.o.MaxEntries
	s.Entries, s.Segments, s.Epoch = l.entries, len(l.segs), l.state.epoch
	s.Bytes, s.LiveBytes = 0, 0
	for _, g := range l.segs {
		s.Bytes += g.end
		s.DiskBytes += max(g.size, g.end)
		s.LiveBytes += g.liveBytes
		if g.live > 0 && (s.OldestSealedMS == 0 || g.oldestMS < s.OldestSealedMS) {
			s.OldestSealedMS = g.oldestMS
		}
	}
	if s.Spare {
		s.DiskBytes += l.o.SegmentBytes
	}
	now := l.nowMS()
	s.Stale = s.OldestSealedMS > 0 && now > s.OldestSealedMS && time.Duration(now-s.OldestSealedMS)*time.Millisecond > l.o.MaxAge
	return s
}

// used is the bytes in all segments; caller holds mu.
func (l *Log) used() (used, live int64) {
	for _, g := range l.segs {
		used += g.end
		live += g.liveBytes
	}
	return used, live
}

// bytesCap is what a commit may fill the log to.
func (l *Log) bytesCap(reserve bool) int64 {
	if reserve {
		return l.o.MaxBytes
	}
	return l.o.MaxBytes - l.o.MaxBytes/8
}

// EntryOverhead is an upper bound of what an entry takes in the log beside its body; CommitOverhead of a commit's.
const (
	EntryOverhead  = frameFixed + entryFixed + maxDimension + frameCheck + 16 + 1 + maxDimension + 8 + 32 + 16 + 16 + 9
	CommitOverhead = frameFixed + commitFields + frameCheck + frameFixed + markFields + frameCheck
)

// Room returns what the next commit may hold before a cap refuses it: bytes, with EntryOverhead for each entry and
// CommitOverhead once, and entries. What compaction would free is counted. The disk may refuse earlier.
func (l *Log) Room(reserve bool) (bytes int64, entries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used, live := l.used()
	limit := l.bytesCap(reserve)
	bytes = max(limit-used, limit-live-l.overhead(), 0)
	if reserve {
		return bytes, 1<<31 - 1 - l.entries
	}
	return bytes, max(0, l.o.MaxEntries-l.entries)
}

// overhead is what the log takes beside its live entries once all of it is compacted, at most: caller holds mu.
func (l *Log) overhead() int64 {
	return int64(len(l.segs)+2) * (l.checkpointSize() + 2*markSize)
}
