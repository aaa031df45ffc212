package pipeline

import (
	"github.com/ron-accounting/ron-accounting/canon"
)

// staged is what a stream becomes if the epoch is committed.
type staged struct {
	stream                 *stream
	next                   uint64
	gap                    *canon.Gap
	sealedAt               uint64
	windowStart, windowEnd uint64
	lost                   u128 // shed
	quiet                  int
}

// plan encodes what stream s has open, or leaves it to a later seal. An error means that the encoder refused what the sealer made: a fault of this package.
func (p *Pipeline) plan(s *stream, span window, mode sealMode, nowMS uint64, done *outcome) error {
	rows := p.gather(s)
	st := staged{stream: s, next: s.next, gap: s.gap, sealedAt: max(s.sealedAt, nowMS), windowStart: s.windowStart, windowEnd: s.windowEnd}
	if rows == 0 && s.gap == nil {
		if s.halted || !p.heartbeat(s, mode) {
			return nil
		}
		st.quiet = s.quiet + 1
	}
	need := len(s.reseal) + max(1, (rows+p.o.MaxRowsPerSlice-1)/p.o.MaxRowsPerSlice)
	if s.halted || !p.admit(s, need, rows, mode) {
		switch {
		case rows == 0: // a gap or a heartbeat can wait
		case p.o.Overflow == Shed && p.wal == nil && !s.halted:
			p.shed(s, &st, need)
		default:
			p.keep(s, span, done)
		}
		return nil
	}
	p.bookExcess(s)
	// A slice's window never begins before the one before it did, nor ends before that ended.
	start := span.start
	if s.from != 0 {
		start = s.from
	}
	end := span.end
	for o := p.o.PeriodBoundary; o.of(start) != o.of(end-1); {
		end -= p.seconds // it could not be sealed at the period's end: the counts go to the older period
	}
	st.windowEnd = max(end, s.windowEnd)
	st.windowStart = min(max(start, s.windowStart), st.windowEnd-p.seconds)
	if len(s.reseal) > 0 {
		return p.encodeAnew(s, &st, rows)
	}
	return p.encode(s, &st, rows)
}

// gather fills p.s.incs with the stream's open counts, in order, and returns how many are not zero.
func (p *Pipeline) gather(s *stream) (rows int) {
	if cap(p.s.incs) < len(s.rows) {
		p.s.incs = make([]uint64, len(s.rows)+len(s.rows)/4)
	}
	p.s.incs = p.s.incs[:len(s.rows)]
	return p.m.Gather(p.s.incs, s.rows)
}

// encode writes the gathered rows as slices of at most MaxRowsPerSlice into the current arena, chained to each other.
func (p *Pipeline) encode(s *stream, st *staged, rows int) error {
	h := canon.Head{
		V: canon.Version, Seq: st.next, Gap: st.gap, Tenant: s.tenant, Writer: p.writer, Amnesia: p.wal == nil,
		Dimension: p.dims[s.dim], SealedAtMS: st.sealedAt,
	}
	if s.hasPrev {
		h.Prev = &s.prev
	}
	p.roomFor(canon.MaxHeadSize + rows*canon.MaxRowSize)
	return p.encodeRows(s, st, rows, &h, true)
}

// encodeRows is encode from head h on; first says that its slice does not follow the encoder's last one.
func (p *Pipeline) encodeRows(s *stream, st *staged, rows int, h *canon.Head, first bool) error {
	h.WindowStartS, h.WindowEndS = st.windowStart, st.windowEnd
	keys, incs := s.keys, p.s.incs
	for ; ; first = false {
		var err error
		if expect := min(rows, p.o.MaxRowsPerSlice); first {
			err = p.s.enc.Begin(h, expect)
		} else {
			err = p.s.enc.BeginNext(h, expect)
		}
		if err != nil {
			return err
		}
		n := p.s.enc.AppendKeys(keys, incs, p.o.MaxRowsPerSlice)
		rows -= p.s.enc.Len()
		if err := p.s.enc.End(); err != nil {
			return err
		}
		p.s.begun = append(p.s.begun, s)
		keys, incs = keys[n:], incs[n:]
		h.Seq, h.Gap = h.Seq+1, nil
		if rows <= 0 {
			break
		}
	}
	st.next, st.gap = h.Seq, nil
	p.s.staged = append(p.s.staged, *st)
	return nil
}

// heartbeat reports whether an idle stream says so in this window.
func (p *Pipeline) heartbeat(s *stream, mode sealMode) bool {
	return p.o.Heartbeat && (mode == sealWindow || mode == sealPeriod) && s.next > 0 && s.quiet < heartbeatWindows
}

// admit reports whether stream s may take n more slices of so many rows, and takes them from the room of the WAL and the pending queue. A stream
// that needs more than an empty queue or lane holds is let in all the same: it would wait for ever.
func (p *Pipeline) admit(s *stream, n, rows int, mode sealMode) bool {
	if !p.walAdmits(s, n, rows) {
		return false
	}
	if len(p.routers) == 0 || mode.beyondCaps() {
		return true
	}
	if p.s.room < n && p.s.room < p.o.PendingSlices {
		if p.s.denied < 0 {
			p.s.denied = int(s.id)
		}
		return false
	}
	for i, l := range s.lanes {
		if p.o.Sinks[i].Required && l.Room() < n && l.Len() > 0 {
			return false
		}
	}
	p.s.room -= n
	return true
}

// keep leaves stream s to a later seal.
func (p *Pipeline) keep(s *stream, span window, done *outcome) {
	for i, row := range s.rows {
		if p.s.incs[i] != 0 {
			p.m.Keep(row)
		}
	}
	if s.from == 0 {
		s.from = max(span.start, s.windowStart)
	}
	done.kept.add(s)
	p.metrics.Rejected.WithLabelValues("order_overflow").Inc()
}

// shed drops the window's slices before they are made: their seqs and units are declared as a gap by the stream's next slice.
func (p *Pipeline) shed(s *stream, st *staged, need int) {
	p.bookExcess(s)
	for _, inc := range p.s.incs {
		st.lost = st.lost.Add(u64(inc))
	}
	g := canon.Gap{From: st.next, Reason: "shed"}
	units, known := st.lost, true
	if old := s.gap; old != nil {
		g.From, g.Reason = old.From, old.Reason
		if known = old.Units != nil; known {
			units = units.Add(u64(*old.Units))
		}
	}
	if known && units.Hi == 0 {
		g.Units = &units.Lo
	}
	g.To = st.next + uint64(need) - 1
	st.gap, st.next = &g, g.To+1
	p.s.staged = append(p.s.staged, *st)
	p.metrics.QueueDropped.WithLabelValues("lane", "shed").Add(float64(need))
}

// bookExcess stages what the stream's rows counted beyond 2^64-1.
func (p *Pipeline) bookExcess(s *stream) {
	if len(p.s.over) == 0 {
		return
	}
	for _, row := range s.rows {
		if x, ok := p.s.over[row]; ok {
			p.s.excess[s.dim] = p.s.excess[s.dim].Add(x)
		}
	}
}
