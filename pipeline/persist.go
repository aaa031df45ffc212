package pipeline

import (
	"errors"
	"fmt"
	"runtime/pprof"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// maintainEvery is how often acks are written down, segments compacted and a failed commit tried again.
const maintainEvery = time.Second

var errWALStale = errors.New("accounting: the oldest slice in the WAL is older than MaxAge: a required sink is not acking")

// durable is the pipeline's side of its WAL. Guarded by Pipeline.sealMu; retired and what follows it are made before anything runs beside.
type durable struct {
	epoch   uint64     // W, the last committed epoch
	staged  wal.Commit // of the seal under way
	mode    sealMode   // of that seal
	unknown bool       // its outcome is not known: nothing else is sealed before it is settled, by the same bytes
	missed  uint64     // start of the first window that ended meanwhile, s; 0: none
	bytes   int64      // what the WAL still takes in this seal
	entries int
	full    error // why the last seal left streams for want of that
	failed  error // why the last commit failed
	corrupt uint64
	retired []*stream    // chains of earlier writers that have slices pending
	waiting []*repair    // streams that wait for what the first required sink holds
	backlog []*pending   // recovered slices, until they are on their way; with New, all that the host has not been handed
	sampled []wal.Stream // streams to ask the sink about at Open
}

// walRoom takes stock of what a seal may write.
func (p *Pipeline) walRoom(mode sealMode) {
	if p.wal == nil {
		return
	}
	p.full = nil
	p.bytes, p.entries = p.wal.Room(mode.beyondCaps())
	p.bytes -= wal.CommitOverhead
}

// walAdmits takes n slices of so many rows from the WAL's room, where there is that much.
func (p *Pipeline) walAdmits(s *stream, n, rows int) bool {
	if p.wal == nil {
		return true
	}
	bytes := int64(n)*(canon.MaxHeadSize+wal.EntryOverhead) + int64(rows)*canon.MaxRowSize
	for _, q := range s.reseal {
		bytes += int64(q.size)
	}
	if p.bytes < bytes || p.entries < n {
		if p.full == nil {
			p.full = fmt.Errorf("%w: room for %d bytes and %d slices", wal.ErrPersistenceFull, max(p.bytes, 0), p.entries)
		}
		p.metrics.Rejected.WithLabelValues("wal_full").Inc()
		return false
	}
	p.bytes, p.entries = p.bytes-bytes, p.entries-n
	return true
}

// commit makes the epoch's slices durable by the WAL's policy; without a WAL there is nothing to do. Where the outcome is unknown, p.unknown is
// set and everything staged must stay as it is.
func (p *Pipeline) commit(mode sealMode, rows int) error {
	if p.wal == nil {
		return nil
	}
	c := &p.staged
	clear(c.Entries)
	*c = wal.Commit{Epoch: p.epoch + 1, File: p.fileState(rows), Entries: c.Entries[:0], Reserve: mode.beyondCaps()}
	for _, q := range p.s.out {
		h := q.slice.Head()
		e := wal.Entry{
			Stream: wal.Stream(q.stream.name), Seq: q.seq, Digest: q.digest, Units: walUnits(q.units),
			SealedAtMS: h.SealedAtMS, WindowStartS: h.WindowStartS, WindowEndS: h.WindowEndS, Body: q.slice.Bytes(),
		}
		if h.Prev != nil {
			e.Prev, e.HasPrev = *h.Prev, true
		}
		if h.Gap != nil {
			e.HasGap, e.GapFrom = true, h.Gap.From
		}
		c.Entries = append(c.Entries, e)
	}
	p.mode = mode
	return p.append()
}

// append writes the staged commit. Its slices are durable, by policy, if it returns nil.
func (p *Pipeline) append() error {
	back := p.inWAL()
	err := p.wal.Append(&p.staged)
	back()
	p.unknown = errors.Is(err, wal.ErrOutcomeUnknown)
	p.failed = err
	if err != nil {
		p.judgeWAL()
		return err
	}
	p.epoch = p.staged.Epoch
	for i, q := range p.s.out {
		q.ref = p.staged.Entries[i].Ref
		p.staged.Entries[i].Body = nil // its memory is the arena's
	}
	return nil
}

// settleUnknown brings a commit whose outcome is unknown to an end, by the same bytes. Under sealMu.
func (p *Pipeline) settleUnknown(each func(*pending)) error {
	if !p.unknown {
		return nil
	}
	if err := p.append(); err != nil {
		p.unknown = true // whatever else it says: nothing was proved
		return err
	}
	var done outcome
	p.finishSeal(p.mode, &done, each)
	if p.missed != 0 {
		for _, s := range p.streams.all() {
			if s.from == 0 {
				s.from = max(p.missed, s.windowStart)
			}
		}
		p.missed = 0
	}
	return nil
}

// thin takes the bytes of committed slices out of memory where they would go beyond its bounds: they are read back from the WAL when their turn comes.
func (p *Pipeline) thin(mode sealMode) {
	if p.wal == nil {
		return
	}
	spare := p.o.PendingSlices - (p.tracker.pending() - len(p.s.out))
	for i, q := range p.s.out {
		if q.arena.pool == nil || i >= spare || mode.beyondCaps() && p.lanesFull(q.stream) {
			q.arena.release()
			q.arena, q.slice = nil, canon.SealedSlice{}
		}
	}
}

func (p *Pipeline) lanesFull(s *stream) bool {
	for i, l := range s.lanes {
		if p.o.Sinks[i].Required && l.Room() == 0 {
			return true
		}
	}
	return false
}

// readBack brings the bytes of a slice that is only in the WAL.
func (p *Pipeline) readBack(q *pending) (canon.SealedSlice, error) {
	b, err := p.wal.Read(q.ref, make([]byte, 0, q.size))
	if errors.Is(err, wal.ErrGone) { // all required sinks have it: this one is optional, and too late
		return canon.SealedSlice{}, fmt.Errorf("%w: %v seq %d is no longer in the WAL", export.ErrGap, q.stream.name, q.seq)
	}
	if err != nil {
		return canon.SealedSlice{}, err
	}
	return canon.ViewSummed(b, q.digest)
}

// ackMarks collects what a batch of acks means: to the WAL, and to the books once the WAL has heard of it.
type ackMarks struct {
	logged         bool // there is a WAL to tell
	cursors, acked []wal.Mark
	done           []*pending // all required sinks have them
	units          []u128     // scratch of settle, one a dimension
}

// marks returns an empty collection.
func (p *Pipeline) marks() *ackMarks {
	select {
	case m := <-p.spareMarks:
		m.cursors, m.acked, m.done = m.cursors[:0], m.acked[:0], m.done[:0]
		return m
	default:
		return &ackMarks{logged: p.wal != nil, units: make([]u128, len(p.dims))}
	}
}

// put notes that q is the last slice of its stream; within a batch a stream's slices come in order, one behind the other.
func (m *ackMarks) put(marks []wal.Mark, q *pending) []wal.Mark {
	if !m.logged {
		return marks
	}
	last := wal.Mark{Stream: wal.Stream(q.stream.name), Seq: q.seq, Digest: q.digest}
	if n := len(marks); n > 0 && marks[n-1].Stream == last.Stream {
		marks[n-1] = last
		return marks
	}
	return append(marks, last)
}

// cursor notes that the sink whose acks are collected has q.
func (m *ackMarks) cursor(q *pending) { m.cursors = m.put(m.cursors, q) }

// end notes that all required sinks have q.
func (m *ackMarks) end(q *pending) { m.acked, m.done = m.put(m.acked, q), append(m.done, q) }

// settle tells the WAL what was collected, of the named sink, and only then books it: whoever waits for a slice's end finds the log without it.
// Nobody may have released what it ends.
func (p *Pipeline) settle(sink string, m *ackMarks) {
	if p.wal != nil {
		if len(m.cursors) > 0 {
			if err := p.wal.SetCursors(sink, m.cursors); err != nil {
				p.log.Error("sink cursor not kept", "sink", sink, "err", err)
			}
		}
		p.wal.AckBatch(m.acked)
	}
	p.finish(m.done, m.units)
	clear(m.done)
	select {
	case p.spareMarks <- m:
	default:
	}
}

// hostCursor is the cursor of a host that takes the slices itself; no sink can have that name.
const hostCursor = "(host)"

// handedOver ends slices that the host has taken: with New.
func (p *Pipeline) handedOver(out []*pending) {
	m := p.marks()
	for _, q := range out {
		m.end(q)
		m.cursor(q)
	}
	p.settle(hostCursor, m)
	for _, q := range out {
		q.hold.Store(1)
	}
	p.releasePending(out...)
}

// judgeWAL sets wal_ok by what is known. Under sealMu.
func (p *Pipeline) judgeWAL() {
	if p.wal == nil {
		return
	}
	st := p.wal.Stats()
	why := errors.Join(p.failed, p.full, p.ckpt.failed)
	if why == nil && st.Err != nil {
		why = st.Err
	}
	if why == nil && st.Stale {
		why = errWALStale
	}
	if p.ready.set(WALOK, why) {
		if why != nil {
			p.log.Error("WAL degraded: counters count, what can't be sealed stays open", "err", why)
		} else {
			p.log.Info("WAL well again")
		}
	}
}

// walLoop keeps the WAL in shape, and settles or makes up for commits that failed, without waiting for the next boundary.
func (p *Pipeline) walLoop() {
	defer p.done.Done()
	pprof.SetGoroutineLabels(walLabels)
	t := time.NewTicker(maintainEvery)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		err := p.wal.Maintain()
		p.sealMu.Lock()
		if p.unknown {
			_ = p.settleUnknown(nil) // its error is judged below
		} else if err == nil && p.failed != nil {
			p.failed = nil // the log writes again; the next seal takes what stayed open
		}
		p.judgeWAL()
		p.sealMu.Unlock()
	}
}

// publishWAL sets the gauges of the WAL. Under sealMu.
func (p *Pipeline) publishWAL() {
	if p.wal == nil {
		return
	}
	st := p.wal.Stats()
	p.metrics.WALBytes.Set(float64(st.Bytes))
	p.metrics.WALEntries.Set(float64(st.Entries))
	p.metrics.WALCorrupt.Add(float64(st.Corrupt - p.corrupt))
	p.corrupt = st.Corrupt
}

// closeWAL writes down the acks and gives up the WAL's directory and the counter file.
func (p *Pipeline) closeWAL() error {
	var err error
	if p.m != nil {
		err = p.m.CloseFile()
	}
	if p.wal == nil {
		return err
	}
	return errors.Join(err, p.wal.Close())
}

// loadBody is readBack for the lanes.
func (p *Pipeline) loadBody(it *lane.Item) (canon.SealedSlice, error) {
	return p.readBack(it.User.(*pending))
}

func walUnits(u u128) wal.Units { return wal.Units{Lo: u.Lo, Hi: u.Hi} }
func unitsOf(u wal.Units) u128  { return u128{Lo: u.Lo, Hi: u.Hi} }
