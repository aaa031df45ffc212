package wal

import (
	"cmp"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

// This file ends a recovery: which entries are pending, which are missing, and what the report says.

// finish links what is pending, finds what is missing, and fills in the report.
func (r *reading) finish() {
	l, rec := r.l, r.rec
	rec.NewBoot = rec.BootID != l.boot
	cut := rec.Policy != OnSeal && rec.NewBoot // commits that may have been exported were lost with the page cache
	if cut || !r.complete || l.writer == (canon.ID{}) {
		rec.OldWriter, rec.NewWriter = l.writer, true
		l.writer = newID()
	}
	for i := range l.streams {
		l.streams[i].retired = l.streams[i].key.Writer != l.writer
	}
	order := r.sorted()
	rec.Heads, rec.Pending = make([]Head, 0, len(l.streams)), make([]Pending, 0, len(order))
	l.nodes = slices.Grow(l.nodes, len(order))
	for i := range l.streams {
		n := 0
		for n < len(order) && r.found[order[n]].si == uint32(i) {
			n++
		}
		r.link(uint32(i), order[:n])
		order = order[n:]
	}
	for _, t := range r.torn {
		rec.TornBytes += t.to - t.from
	}
	slices.SortFunc(r.torn, func(a, b span) int { return cmp.Compare(a.seg.num, b.seg.num) })
	rec.Torn = len(slices.CompactFunc(r.torn, func(a, b span) bool { return a.seg == b.seg }))
	rec.Writer, rec.Epoch, rec.File, rec.Next, rec.StateKnown = l.writer, l.state.epoch, l.state.file, l.state.next, !l.lost
	l.stats.Corrupt = uint64(max(len(rec.Damage), len(rec.Holes))) // a segment that is gone leaves holes and no damaged byte
	r.found = nil
}

// sorted returns the found entries' indices by stream and seq; of several copies of one the best comes first.
func (r *reading) sorted() []uint32 {
	order := make([]uint32, len(r.found))
	for i := range order {
		order[i] = uint32(i)
	}
	rank := func(f *found) int {
		switch {
		case f.lost:
			return 2
		case f.seg.damaged || f.off >= f.seg.synced:
			return 1
		}
		return 0
	}
	slices.SortFunc(order, func(a, b uint32) int {
		x, y := &r.found[a], &r.found[b]
		if c := cmp.Compare(x.si, y.si); c != 0 {
			return c
		}
		if c := cmp.Compare(x.m.seq, y.m.seq); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(b, a))
	})
	return order
}

// link makes a stream's entries pending; list is sorted.
func (r *reading) link(si uint32, list []uint32) {
	l, rec := r.l, r.rec
	s := &l.streams[si]
	list = slices.CompactFunc(list, func(a, b uint32) bool { return r.found[a].m.seq == r.found[b].m.seq })
	keep := make([]*found, 0, len(list))
	floor := never // seqs from here on are superseded by a gap above
	for i := len(list) - 1; i >= 0; i-- {
		f := &r.found[list[i]]
		if f.m.seq >= floor {
			continue
		}
		keep = append(keep, f)
		if f.m.flags&flagGap != 0 {
			floor = min(floor, f.m.gapFrom)
		}
	}
	slices.Reverse(keep)
	if s.acked >= s.next {
		s.vague, s.guessed = false, false
	}
	h := holes{reading: r, s: s, want: s.acked, cum: s.ackedCum, exact: true}
	for _, f := range keep {
		m := &f.m
		if m.seq < s.acked {
			continue // acked by a segment read later
		}
		if m.flags&flagGap != 0 {
			h.upTo(min(m.gapFrom, m.seq), nil)
			if s.first == 0 && s.acked >= m.gapFrom && !f.lost {
				s.acked = m.seq
				s.ackedCum, _ = m.cum.Sub(m.units)
			}
			h.want = max(h.want, m.seq)
			h.cum, h.exact = s.ackedCum, s.acked == m.seq
		}
		if f.lost {
			h.lost = append(h.lost, f)
			continue
		}
		h.upTo(m.seq, m)
		h.want, h.cum, h.exact = m.seq+1, m.cum, true
		ref := l.link(si, f.seg, f.off, m.seq, m.digest, m.cum, m.body, m.sealedMS)
		p := Pending{Ref: ref, Stream: s.key, Seq: m.seq, Digest: m.digest, Units: m.units, Bytes: m.body, Epoch: m.epoch,
			SealedAtMS: m.sealedMS, WindowStartS: m.windowStartS, WindowEndS: m.windowEndS}
		if m.flags&flagPrev != 0 {
			p.Prev, p.HasPrev = m.prev, true
		}
		if m.flags&flagGap != 0 {
			p.GapFrom, p.HasGap = m.gapFrom, true
		}
		rec.Pending = append(rec.Pending, p)
	}
	h.upTo(s.next, nil)
	s.vague = s.vague || s.guessed
	if s.next > 0 && (s.known || !s.retired || s.first != 0) { // of a finished chain that checkpoints have forgotten an ack may be left
		rec.Heads = append(rec.Heads, l.headOf(s))
	}
}

// holes finds the runs of a stream's seqs that are missing.
type holes struct {
	*reading
	s     *stream
	want  uint64   // the seq that comes next
	cum   Units    // of the stream before it
	exact bool     // cum is that
	lost  []*found // entries since then whose units are known and no more
}

// upTo reports a hole from want to seq-1. next is the entry at seq, nil where there is none: at a gap, and at the stream's end.
func (h *holes) upTo(seq uint64, next *meta) {
	if h.want >= seq {
		h.lost = h.lost[:0]
		return
	}
	hole := Hole{Stream: h.s.key, From: h.want, To: seq - 1}
	n := uint64(0)
	for _, f := range h.lost {
		if f.m.seq >= h.want && f.m.seq < seq {
			hole.Units = hole.Units.Add(f.m.units)
			n++
		}
	}
	hole.UnitsKnown = n == seq-h.want
	if !hole.UnitsKnown && h.exact && !h.s.vague {
		var end Units
		ok := true
		switch {
		case next != nil && next.flags&flagGap == 0:
			end, ok = next.cum.Sub(next.units)
		case next == nil && seq == h.s.next && !h.s.guessed:
			end = h.s.cum
		default:
			ok = false
		}
		if ok {
			hole.Units, hole.UnitsKnown = end.Sub(h.cum)
		}
	}
	if !hole.UnitsKnown {
		hole.Units = Units{}
	}
	h.rec.Holes = append(h.rec.Holes, hole)
	h.want, h.lost, h.exact = seq, h.lost[:0], false
}
