package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// The sink is asked for its tips at Open for this long; who has not answered by then is asked in the background, where it must be known.
const (
	tipBudget  = 2 * time.Second
	tipWorkers = 16
	tipRetry   = time.Second
)

// ErrCloned: a sink holds slices of this writer that the WAL never made: the directory is a copy, or was restored from one.
var ErrCloned = errors.New("accounting: the ledger is ahead of the WAL: this directory was cloned or restored from a copy; run `benchrig adopt --new-writer DIR` and open it again")

// repair is a stream that damage to the WAL has left a hole in: it waits until the first required sink has said what it holds.
type repair struct {
	s       *stream
	head    wal.Head
	holes   []wal.Hole
	pending []*pending // by seq
}

// tip is a sink's answer.
type tip struct {
	seq    uint64
	digest canon.Digest
	ok     bool // it holds something
	err    error
}

// tipper returns the first required sink, where it can be asked.
func (p *Pipeline) tipper() export.Tipper {
	for _, s := range p.o.Sinks {
		if s.Required {
			t, _ := s.Exporter.(export.Tipper)
			return t
		}
	}
	return nil
}

// tipSample is how many streams without pending slices are asked for, those that were sealed last: a clone shows in any that has gone on.
const tipSample = 64

// compareTips asks the first required sink for the tips of the streams with pending slices, and of some others: what it holds is acked, a sink
// ahead of the WAL is refused, one that has lost its tail is an alarm. What it does not answer in time is left to the lanes, which find out by putting.
func (p *Pipeline) compareTips() error {
	t := p.tipper()
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), tipBudget)
	defer cancel()
	var names []export.Stream
	runs := map[export.Stream][]*pending{}
	for _, q := range p.backlog {
		if runs[q.stream.name] == nil {
			names = append(names, q.stream.name)
		}
		runs[q.stream.name] = append(runs[q.stream.name], q)
	}
	for _, s := range p.sampled {
		if name := export.Stream(s); runs[name] == nil {
			names = append(names, name)
		}
	}
	p.sampled = nil
	tips := askTips(ctx, t, names)
	var left []*pending
	m := p.marks()
	for i, name := range names {
		run, t := runs[name], tips[i]
		h, ok := p.wal.Head(wal.Stream(name))
		if t.err != nil || !ok {
			left = append(left, run...)
			continue
		}
		if h.Retired && t.ok && t.seq >= h.Next {
			// Nothing more is sealed for an earlier writer, so that its chain can't fork any further. What is pending of it is put again:
			// the sink knows by the digests what it has, and a slice that differs is a conflict of that stream alone.
			left = append(left, run...)
			continue
		}
		if err := p.compareTip(&h, t); err != nil {
			return err
		}
		for _, q := range run {
			if t.ok && q.seq == t.seq && q.digest != t.digest {
				return fmt.Errorf("%w: stream %v seq %d: the ledger has %.15s, the WAL %.15s: %w", ErrCloned, name, q.seq, t.digest, q.digest, export.ErrConflict)
			}
			if !t.ok || q.seq > t.seq || p.required > 1 {
				left = append(left, q) // a second required sink may lack it
				continue
			}
			m.end(q)
		}
	}
	p.settle("", m)
	p.backlog = left
	return nil
}

// compareTip refuses a sink that is ahead of a stream's head, and notes one that is behind what it has acked.
func (p *Pipeline) compareTip(h *wal.Head, t tip) error {
	next := uint64(0)
	if t.ok {
		next = t.seq + 1
	}
	switch {
	case next > h.Next:
		return fmt.Errorf("%w: stream %v: the ledger's tip is seq %d, the WAL's %d", ErrCloned, h.Stream, t.seq, h.Next-1)
	case next == h.Next && t.ok && h.Known && t.digest != h.Digest:
		return fmt.Errorf("%w: stream %v seq %d: the ledger has %.15s, the WAL %.15s: %w", ErrCloned, h.Stream, t.seq, t.digest, h.Digest, export.ErrConflict)
	case next < h.Acked:
		err := lostTail(h, next)
		p.log.Error("the ledger has lost slices that it had acked", "err", err)
		p.sinkMu.Lock()
		p.halted.add(err)
		p.judgeSinks()
		p.sinkMu.Unlock()
	}
	return nil
}

func lostTail(h *wal.Head, next uint64) error {
	return fmt.Errorf("%w: stream %v: acked were %d slices, the ledger holds %d: benchrig replay mends it, or Options.DeclareRollback gives it up", export.ErrGap, h.Stream, h.Acked, next)
}

// askTips asks for many tips at once.
func askTips(ctx context.Context, t export.Tipper, names []export.Stream) []tip {
	out := make([]tip, len(names))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(tipWorkers, len(names)) {
		wg.Go(func() {
			for i := range next {
				out[i] = askTip(ctx, t, names[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// askTip asks for one; an exporter that panics has not answered.
func askTip(ctx context.Context, t export.Tipper, name export.Stream) (a tip) {
	defer func() {
		if v := recover(); v != nil {
			a = tip{err: fmt.Errorf("accounting: Tip panicked: %v", v)}
		}
	}()
	if err := ctx.Err(); err != nil {
		return tip{err: err}
	}
	a.seq, a.digest, a.ok, a.err = t.Tip(ctx, name)
	if a.err == nil && a.ok && a.seq > canon.MaxSeq {
		a.err = fmt.Errorf("accounting: Tip: got seq %d, want at most %d", a.seq, uint64(canon.MaxSeq))
	}
	return a
}

// repairLoop settles the streams that wait for the sink, as soon as it answers.
func (p *Pipeline) repairLoop() {
	defer p.done.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-p.stop
		cancel()
	}()
	for {
		if p.repairAll(ctx) {
			return
		}
		select {
		case <-p.stop:
			return
		case <-time.After(tipRetry):
		}
	}
}

// repairAll asks for every waiting stream and settles those that it has an answer for; it reports whether none is left.
func (p *Pipeline) repairAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.o.OpDeadline)
	defer cancel()
	names := make([]export.Stream, len(p.waiting))
	for i, r := range p.waiting {
		names[i] = r.s.name
	}
	var tips []tip
	if t := p.tipper(); t != nil {
		tips = askTips(ctx, t, names)
	} else {
		for _, r := range p.waiting {
			tips = append(tips, p.ackedTip(&r.head))
		}
	}
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	left := p.waiting[:0]
	var errs []error
	for i, r := range p.waiting {
		if tips[i].err != nil {
			left = append(left, r)
			errs = append(errs, fmt.Errorf("accounting: stream %v waits for the ledger's tip: %w", r.s.name, tips[i].err))
			continue
		}
		if err := p.settleRepair(r, tips[i]); err != nil {
			p.sinkMu.Lock()
			p.broken.add(err)
			p.sinkMu.Unlock()
			p.log.Error("stream halted", "stream", r.s.name, "err", err)
		}
	}
	p.waiting = left
	p.sinkMu.Lock()
	p.tipErr = nil
	if len(errs) > 0 {
		p.tipErr = fmt.Errorf("%w (%d streams wait)", errs[0], len(errs))
	}
	p.judgeSinks()
	p.sinkMu.Unlock()
	return len(left) == 0
}

// ackedTip is the tip of a sink that can't be asked: it holds what it has acked.
func (p *Pipeline) ackedTip(h *wal.Head) tip {
	if h.Acked == 0 {
		return tip{}
	}
	name := hostCursor
	for _, s := range p.o.Sinks {
		if s.Required {
			name = s.Name
			break
		}
	}
	seq, digest, ok := p.wal.Cursor(name, h.Stream)
	if !ok || seq+1 != h.Acked {
		return tip{err: fmt.Errorf("accounting: sink %s has no Tip, and the digest of its last slice is not in the WAL", name)}
	}
	return tip{seq: seq, digest: digest, ok: true}
}

// settleRepair decides by the sink's tip what becomes of a stream with a hole: what the sink holds is acked; a hole above it is declared by a gap,
// and what survived there is sealed anew behind it. Under sealMu. On an error the stream stays halted.
func (p *Pipeline) settleRepair(r *repair, t tip) error {
	s, next := r.s, uint64(0) // what the sink takes next
	if t.ok {
		next = t.seq + 1
	}
	switch {
	case next > r.head.Next:
		return fmt.Errorf("%w: stream %v: the ledger's tip is seq %d, the WAL's %d", ErrCloned, s.name, t.seq, r.head.Next-1)
	case next < r.head.Acked && !p.o.DeclareRollback:
		return lostTail(&r.head, next)
	}
	var held, above []*pending // by the sink, above its tip
	for _, q := range r.pending {
		if t.ok && q.seq == t.seq && q.digest != t.digest {
			return fmt.Errorf("%w: stream %v seq %d: the ledger has %.15s, the WAL %.15s", export.ErrConflict, s.name, q.seq, t.digest, q.digest)
		}
		if q.seq >= next {
			above = append(above, q)
			continue
		}
		held = append(held, q)
	}
	if next > 0 {
		p.wal.Ack(wal.Stream(s.name), next-1)
	}
	for _, q := range held {
		q.hold.Store(1)
	}
	p.finish(held, make([]u128, len(p.dims)))
	p.releasePending(held...)
	lost, known, open := u128{}, true, false
	for _, h := range r.holes {
		if h.To < next { // the sink has it: nothing is lost
			if h.UnitsKnown {
				u := unitsOf(h.Units)
				p.books.edit(s.dim, func(b *book) { b.gap, b.acked = b.gap.Sub(u), b.acked.Add(u) })
			}
			continue
		}
		open = true
		known = known && h.UnitsKnown && h.From >= next
		lost = lost.Add(unitsOf(h.Units))
	}
	reason := "wal_damage"
	if next < r.head.Acked { // an operator has said so: what the ledger lost is not in the WAL any more
		open, known, reason = true, false, "ledger_rollback"
	}
	r.s.halted = false
	if !open {
		if next == r.head.Next && t.ok {
			s.prev, s.hasPrev = t.digest, true
		}
		if len(p.routers) == 0 {
			p.backlog = append(p.backlog, above...) // the host takes them with the next SealNow
		} else {
			p.resume(above)
		}
		return nil
	}
	g := &canon.Gap{From: next, To: s.next - 1, Reason: reason}
	if known && lost.Hi == 0 {
		g.Units = &lost.Lo
	}
	s.gap, s.prev, s.hasPrev, s.reseal = g, t.digest, t.ok, above
	p.log.Warn("hole declared", "reason", reason, "stream", s.name, "from", g.From, "to", g.To, "sealed_anew", len(above))
	return nil
}

// encodeAnew encodes the slices that survived behind a hole as new ones, the first of which declares it, and then what is open.
func (p *Pipeline) encodeAnew(s *stream, st *staged, rows int) error {
	olds := make([]canon.SealedSlice, len(s.reseal))
	size := canon.MaxHeadSize + rows*canon.MaxRowSize
	for i, q := range s.reseal {
		old, err := p.readBack(q)
		if err != nil {
			return err
		}
		olds[i] = old
		size += canon.MaxHeadSize + old.Len()*canon.MaxRowSize
	}
	p.finishArena()
	p.roomFor(size)
	h := canon.Head{V: canon.Version, Seq: st.next, Gap: st.gap, Tenant: s.tenant, Writer: p.writer, Dimension: p.dims[s.dim], SealedAtMS: st.sealedAt}
	if s.hasPrev {
		h.Prev = &s.prev
	}
	for i, old := range olds {
		oh := old.Head()
		h.WindowStartS, h.WindowEndS = oh.WindowStartS, oh.WindowEndS
		begin := p.s.enc.BeginNext
		if i == 0 {
			begin = p.s.enc.Begin
		}
		if err := begin(&h, old.Len()); err != nil {
			return err
		}
		one := make([]canon.Row, 1)
		for _, one[0] = range old.Rows() {
			p.s.enc.Append(one)
		}
		if err := p.s.enc.End(); err != nil {
			return err
		}
		p.s.begun = append(p.s.begun, s)
		h.Seq, h.Gap = h.Seq+1, nil
	}
	st.next, st.gap = h.Seq, nil
	if rows == 0 {
		p.s.staged = append(p.s.staged, *st)
		return nil
	}
	return p.encodeRows(s, st, rows, &h, false)
}

// superseded ends the slices that were sealed anew: their units are in the new ones. The epoch is committed.
func (p *Pipeline) superseded(s *stream) {
	for _, q := range s.reseal {
		p.books.edit(s.dim, func(b *book) { b.pending = b.pending.Sub(q.units) })
		p.tracker.done(q.epoch, 1)
		q.hold.Store(1)
		p.releasePending(q)
	}
	s.reseal = nil
}
