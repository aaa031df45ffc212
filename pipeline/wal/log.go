package wal

import (
	"io"
	"path/filepath"
	"sync"

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

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }

func (l *Log) nowMS() uint64 { return uint64(max(0, l.o.Now().UnixMilli())) }
