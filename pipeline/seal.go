package pipeline

import (
	"runtime"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/internal/asm"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// sealMode says why a seal is made, and so what may hold a stream back.
type sealMode uint8

const (
	sealPart   sealMode = iota // SealNow, Flush: the window goes on
	sealWindow                 // the window has ended
	sealPeriod                 // it ended at a period boundary: every stream is sealed, beyond the RAM caps
	sealLast                   // Close: as at a period boundary
)

// beyondCaps reports whether streams are sealed without regard to lane and pending capacity.
func (m sealMode) beyondCaps() bool { return m >= sealPeriod }

// outcome is what a seal did.
type outcome struct {
	slices, rows, bytes int
	kept                kept
}

// sealer is the scratch memory of one seal, kept for the next. Guarded by Pipeline.sealMu.
type sealer struct {
	adopter
	epoch   uint64 // number of this process's seals
	ticking bool   // the goroutine that seals is the ticker's own
	room    int    // slices that the pending queue may still take
	turn    int    // id of the stream that is planned first
	denied  int    // id of the first stream for which the queue had no room in this seal; -1: none

	enc    canon.Encoder
	arenas arenaPool
	cur    *arena    // that enc writes into; nil: none begun
	begun  []*stream // of the slices in enc, in order
	wrote  int       // bytes of this seal's slices
	before int       // of the one's before
	incs   []uint64  // a stream's open counts, in order

	out    []*pending
	staged []staged
	excess []u128        // by dimension
	units  []u128        // by dimension: scratch of what is booked for many slices at once
	took   time.Duration // by the last seal
	ended  time.Time     // when it was done

	keptTold time.Time // when the log last told of streams that were kept
	over     map[uint32]u128
	items    []*lane.Item
	spare    pendingPool
}

func (s *sealer) init(dims int) {
	s.excess, s.units = make([]u128, dims), make([]u128, dims)
	s.over = map[uint32]u128{}
}

// seal scans the counters, encodes what is open under span's bounds, commits it, and hands it to the sinks. each, where not nil, sees every
// slice after the commit. Under sealMu. On an error the counts stay open; they go with a later seal, whose slices begin where this one's did.
func (p *Pipeline) seal(span window, mode sealMode, each func(*pending)) (outcome, error) {
	timer := startSealTimer(p.s.took >= clockLeast || time.Since(p.s.ended) >= clockRare)
	defer func() {
		p.s.took, p.s.ended = timer.stop(p.metrics), time.Now()
		p.metrics.SealSeconds.Observe(p.s.took.Seconds())
	}()
	if err := p.settleUnknown(each); err != nil {
		if p.missed == 0 && mode != sealPart {
			p.missed = span.start
		}
		return outcome{}, err
	}
	var done outcome
	rows := p.m.Scan()
	streams := p.adoptRows()
	p.begin(mode)
	nowMS := uint64(max(p.o.Clock.Now().UnixMilli(), 0))
	ahead := p.m.Rows() >= prefetchLeast
	for i := range streams {
		s := streams[(p.s.turn+i)%len(streams)]
		if ahead {
			asm.PrefetchValue(streams[(p.s.turn+i+prefetchRecords)%len(streams)])
			next, later := streams[(p.s.turn+i+1)%len(streams)], streams[(p.s.turn+i+2)%len(streams)]
			p.m.Prefetch(next.rows, later.rows)
			p.s.enc.Prefetch(next.keys)
		}
		if err := p.plan(s, span, mode, nowMS, &done); err != nil {
			p.giveUp(span)
			return outcome{}, err
		}
	}
	p.finishArena()
	if p.wal != nil && len(p.s.out) == 0 {
		p.giveUp(span) // nothing to write down: the epoch is used again
	} else if err := p.commit(mode, rows); err != nil {
		if !p.unknown {
			p.giveUp(span)
		}
		return outcome{}, err
	} else {
		p.finishSeal(mode, &done, each)
	}
	p.tellKept(done.kept)
	p.judgeWAL()
	return done, nil
}

// prefetchLeast is the number of slots from which the next stream's counts and keys are asked for while this one's are written: the table, the orders
// and the slices are out of the second level's cache then.
const prefetchLeast = 1 << 14

// prefetchRecords is how many streams or slices ahead their records are asked for where all are passed over: they lie anywhere, some 300 bytes each, and
// to wait for one takes longer than to pass over it.
const prefetchRecords = 6

// finishSeal makes a committed epoch the pipeline's state and sends its slices on their way.
func (p *Pipeline) finishSeal(mode sealMode, done *outcome, each func(*pending)) {
	p.m.Commit()
	p.apply(done)
	if each != nil {
		for _, q := range p.s.out {
			each(q)
		}
	}
	p.metrics.SealedSlices.Add(float64(done.slices))
	p.dispatch(mode, each != nil)
}

// sealTimer times sealing, by the clock and by the CPU: on a machine that does other things too only the latter is what it costs. Reading that
// twice takes 2 µs, so seals that come one after another, and that the one before lets expect to be shorter than clockLeast, count by the clock alone.
type sealTimer struct {
	start      time.Time
	used       time.Duration
	locked, ok bool
}

const (
	clockLeast = time.Millisecond
	clockRare  = 100 * time.Millisecond
)

func startSealTimer(cpu bool) (t sealTimer) {
	t.start = time.Now()
	if cpu {
		runtime.LockOSThread()
		t.used, t.ok = threadCPU()
	}
	t.locked = cpu
	return t
}

// stop enters the CPU time and returns the time by the clock.
func (t sealTimer) stop(m *Metrics) (wall time.Duration) {
	wall = time.Since(t.start)
	cpu := wall
	if t.locked {
		if now, ok := threadCPU(); ok && t.ok {
			cpu = now - t.used
		}
		runtime.UnlockOSThread()
	}
	m.SealCPU.Add(max(cpu, 0).Seconds())
	return wall
}

// begin readies the scratch memory.
func (p *Pipeline) begin(mode sealMode) {
	p.s.out, p.s.staged = p.s.out[:0], p.s.staged[:0]
	p.s.before, p.s.wrote = p.s.wrote, 0
	clear(p.s.excess)
	p.s.room, p.s.denied = p.o.PendingSlices-p.tracker.pending(), -1
	p.walRoom(mode)
	clear(p.s.over)
	for _, o := range p.m.Saturated() {
		p.s.over[o.Row] = o.Units
	}
}

// giveUp forgets an epoch that was not committed; what it had staged stays open since span began, or longer.
func (p *Pipeline) giveUp(span window) {
	for i := range p.s.staged {
		if s := p.s.staged[i].stream; s.from == 0 {
			s.from = max(span.start, s.windowStart)
		}
	}
	p.m.Abort()
	p.s.enc.Reset(nil)
	p.s.begun = p.s.begun[:0]
	for _, q := range p.s.out {
		q.hold.Store(1)
		p.releasePending(q)
	}
	if p.s.cur != nil {
		p.s.cur.release()
		p.s.cur = nil
	}
	p.s.out, p.s.staged = p.s.out[:0], p.s.staged[:0]
}

// apply makes the staged state the streams'. The epoch is committed.
func (p *Pipeline) apply(done *outcome) {
	p.s.epoch++
	p.s.turn = max(p.s.denied, 0) // who found no room comes first next time: none waits for ever behind the others
	p.tracker.add(p.s.epoch, len(p.s.out))
	for i, q := range p.s.out {
		if soon := i + prefetchRecords; soon < len(p.s.out) {
			asm.PrefetchValue(p.s.out[soon])
			asm.PrefetchValue(p.s.out[soon-prefetchRecords/2].stream)
		}
		q.epoch = p.s.epoch
		done.slices++
		done.rows += q.slice.Len()
		done.bytes += len(q.slice.Bytes())
		s := q.stream
		s.prev, s.hasPrev = q.digest, true
	}
	p.bookEach(p.s.out, p.s.units, func(b *book, u u128) { b.pending = b.pending.Add(u) })
	for i := range p.s.staged {
		st := &p.s.staged[i]
		s := st.stream
		p.superseded(s)
		p.cover(s, u128{})
		s.next, s.gap, s.quiet, s.from = st.next, st.gap, st.quiet, 0
		s.sealedAt, s.windowStart, s.windowEnd = st.sealedAt, st.windowStart, st.windowEnd
		if !st.lost.IsZero() {
			p.books.edit(s.dim, func(b *book) { b.gap = b.gap.Add(st.lost) })
		}
	}
	for d, x := range p.s.excess {
		if !x.IsZero() {
			p.books.edit(Dimension(d), func(b *book) { b.saturated = b.saturated.Add(x) })
			p.metrics.Overflow.WithLabelValues(p.dims[d]).Add(float(x))
		}
	}
}

// dispatch sends the committed slices on their way. With New they are at its end where the host has taken them; what Flush and Close seal
// there waits for the next SealNow.
func (p *Pipeline) dispatch(mode sealMode, taken bool) {
	if p.o.Events != nil {
		for _, q := range p.s.out {
			p.event(Event{Kind: SliceSealed, Stream: q.stream.name, Seq: q.seq, Digest: q.digest, At: q.at})
		}
	}
	if len(p.routers) > 0 {
		p.thin(mode)
		p.enqueue(p.s.out)
		return
	}
	if !taken {
		p.backlog = append(p.backlog, p.s.out...)
		return
	}
	p.handedOver(p.s.out)
}
