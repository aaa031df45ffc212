package ingress

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// errNoRoom: nothing of the commit is held, and it may be tried again.
var errNoRoom = errors.New("nothing was written")

// logStore is the store in a write-ahead log (package wal) in Options.Dir/staged. The log's chains are its own, not the slices': the log wants each
// of its streams acked in order, so a foreign stream has a slot, a stream of the log, while it has staged slices, and gives it back after. What is
// forgotten by age (acked slices, keys, batches) is a journal, one stream of the log each.
type logStore struct {
	log      *wal.Log
	rec      *wal.Recovered // until replay
	epoch    uint64
	bound    map[export.Stream]*slot
	free     []*slot
	slots    uint64 // made so far
	keys     journal
	acked    journal
	batches  journal
	first    uint64 // of the batches of the last commit
	progress *progress
	entries  []wal.Entry // of a commit
	heads    []slotHead
	buf      []byte
}

// slot is a stream of the log that holds the staged slices of one foreign stream.
type slot struct {
	stream wal.Stream
	next   uint64
	head   canon.Digest
	owner  export.Stream
	order  []*spot // not acked in the log
}

type slotHead struct {
	s    *slot
	head canon.Digest
}

// spot is where a staged slice is in the log.
type spot struct {
	slot *slot
	seq  uint64
	ref  wal.Ref
	done bool
}

// journal is a stream of the log whose entries hold several records each and are given up from the old end.
type journal struct {
	stream    wal.Stream
	next      uint64
	head      canon.Digest
	held      []run
	forgotten int // records of held[0]
}

type run struct {
	stream wal.Stream // an earlier writer's, perhaps
	seq    uint64
	n      int
}

const (
	stagedDir = "staged" // in Options.Dir

	ofStaged, ofAcked, ofKeys, ofBatches = "staged", "acked", "keys", "batches" // the log's dimensions

	lockWait      = time.Second
	maintainEvery = time.Second
)

// walOptions are those of the log that takes all that o allows to be staged.
func walOptions(o *Options, dir string) wal.Options {
	records := o.MaxSlices + o.Horizon + o.MaxKeys
	return wal.Options{Dir: dir, MaxBytes: o.MaxBytes + o.MaxBytes/2 + int64(records)*wal.EntryOverhead + 128<<20, MaxEntries: records + 1<<16,
		SegmentBytes: max(1<<20, min(32<<20, o.MaxBytes/16)), MaxAge: 365 * 24 * time.Hour, LockWait: lockWait, FS: o.fs,
		OnFsync: func(d time.Duration) { o.Metrics.WALFsync.Observe(d.Seconds()) }}
}

func openLog(o *Options, dir string) (*logStore, error) {
	w, rec, err := wal.Open(walOptions(o, dir), wal.Identity{Dimensions: []string{ofStaged, ofAcked, ofKeys, ofBatches}})
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %w (waited %v for its lock)", ErrInUse, err, lockWait)
	case err != nil:
		return nil, err
	}
	st := &logStore{log: w, rec: rec, epoch: rec.Epoch, bound: map[export.Stream]*slot{}}
	for _, j := range []struct {
		*journal
		name string
	}{{&st.keys, ofKeys}, {&st.acked, ofAcked}, {&st.batches, ofBatches}} {
		j.stream = wal.Stream{Writer: rec.Writer, Dimension: j.name}
	}
	st.progress, err = openProgress(filepath.Join(o.Dir, progressFile))
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return st, nil
}

// slotOf returns the slot of a foreign stream, which takes one where it has none.
func (st *logStore) slotOf(name export.Stream) *slot {
	s := st.bound[name]
	if s == nil {
		if n := len(st.free); n > 0 {
			s, st.free = st.free[n-1], st.free[:n-1]
		} else {
			s = &slot{stream: wal.Stream{Writer: st.log.Writer(), Tenant: slotID(st.slots), Dimension: ofStaged}}
			st.slots++
		}
		s.owner = name
		st.bound[name] = s
	}
	return s
}

func slotID(n uint64) (id canon.ID) {
	be.PutUint64(id[8:], n)
	return id
}

// give takes a slot back that holds nothing any more.
func (st *logStore) give(s *slot) {
	if st.bound[s.owner] == s {
		delete(st.bound, s.owner)
	}
	if s.stream.Writer == st.log.Writer() {
		st.free = append(st.free, s)
	}
	s.owner = export.Stream{}
}

func (st *logStore) commit(c *change) error {
	st.entries, st.heads, st.buf = st.entries[:0], st.heads[:0], st.buf[:0]
	for _, e := range c.put {
		s := st.slotOf(e.s.name)
		st.heads = append(st.heads, slotHead{s, s.head})
		v := &e.acked
		st.entries = append(st.entries, wal.Entry{Stream: s.stream, Seq: s.next, Digest: e.digest, Prev: s.head, HasPrev: s.next > 0,
			SealedAtMS: v.at, WindowStartS: v.windowStart, WindowEndS: v.windowEnd, Body: e.slice.Bytes()})
		e.at = spot{slot: s, seq: s.next}
		s.order = append(s.order, &e.at)
		s.next++
		s.head = e.digest
	}
	now := uint64(time.Now().UnixMilli())
	var used [3]int
	if len(c.acked) > 0 {
		start := len(st.buf)
		for i := range c.acked {
			st.buf = c.acked[i].append(st.buf)
		}
		used[0] = st.add(&st.acked, 0, now, st.buf[start:])
	}
	if len(c.keys) > 0 {
		start := len(st.buf)
		for i := range c.keys {
			st.buf = c.keys[i].append(st.buf)
		}
		used[1] = st.add(&st.keys, 0, now, st.buf[start:])
	}
	for i, b := range c.batches {
		used[2] += st.add(&st.batches, i, now, b)
	}
	wc := wal.Commit{Epoch: st.epoch + 1, Entries: st.entries, Reserve: len(c.put)+len(c.keys)+len(c.batches) == 0}
	err := st.log.Append(&wc)
	if err != nil {
		for i := len(c.put) - 1; i >= 0; i-- {
			s := st.heads[i].s
			s.head = st.heads[i].head
			s.next--
			if s.order = s.order[:len(s.order)-1]; len(s.order) == 0 {
				st.give(s)
			}
		}
		clear(st.entries)
		if errors.Is(err, wal.ErrPersistenceFull) || errors.Is(err, wal.ErrNotWritten) {
			return fmt.Errorf("%w: %w", errNoRoom, err)
		}
		return err
	}
	st.epoch++
	st.first = st.batches.next
	for i, e := range c.put {
		e.at.ref = st.entries[i].Ref
	}
	rest := st.entries[len(c.put):]
	for k, j := range []*journal{&st.acked, &st.keys, &st.batches} {
		n := []int{len(c.acked), len(c.keys), 1}[k]
		for range used[k] {
			j.held = append(j.held, run{j.stream, j.next, n})
			j.next++
			j.head = rest[0].Digest
			rest = rest[1:]
		}
	}
	clear(st.entries) // the bodies are the callers'
	st.forget(&st.acked, c.forget[0])
	st.forget(&st.keys, c.forget[1])
	return nil
}

// add puts the i-th new entry of a journal into the commit.
func (st *logStore) add(j *journal, i int, now uint64, body []byte) int {
	e := wal.Entry{Stream: j.stream, Seq: j.next + uint64(i), Digest: canon.Sum(body), Prev: j.head, HasPrev: j.next > 0 && i == 0, SealedAtMS: now, Body: body}
	if i > 0 {
		e.Prev, e.HasPrev = st.entries[len(st.entries)-1].Digest, true
	}
	st.entries = append(st.entries, e)
	return 1
}

// forget gives up so many more of a journal's oldest records; an entry goes with its last one.
func (st *logStore) forget(j *journal, n int) {
	j.forgotten += n
	for len(j.held) > 0 && j.held[0].n <= j.forgotten {
		j.forgotten -= j.held[0].n
		st.log.Ack(j.held[0].stream, j.held[0].seq)
		j.held = j.held[1:]
	}
}

// mark is where the counting of the i-th batch of the last commit is noted.
func (st *logStore) mark(i int) func(done int) {
	seq := st.first + uint64(i)
	return func(done int) { st.progress.set(seq, done) }
}

func (st *logStore) load(e *entry) ([]byte, error) {
	return st.log.Read(e.at.ref, make([]byte, 0, e.size))
}

func (st *logStore) drop(staged []*entry, batches int) {
	for _, e := range staged {
		st.settle(&e.at)
	}
	st.forget(&st.batches, batches)
}

// settle gives up a staged slice; the log hears of it once all before it in its slot are given up too.
func (st *logStore) settle(at *spot) {
	s := at.slot
	at.done = true
	n := 0
	for n < len(s.order) && s.order[n].done {
		n++
	}
	if n == 0 {
		return
	}
	st.log.Ack(s.stream, s.order[n-1].seq)
	clear(s.order[:n])
	if s.order = s.order[n:]; len(s.order) == 0 {
		s.order = nil
		st.give(s)
	}
}

func (st *logStore) maintain() error { return st.log.Maintain() }

func (st *logStore) close() error {
	return errors.Join(st.log.Close(), st.progress.close())
}

// syncDir makes a directory's names durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
