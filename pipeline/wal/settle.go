package wal

import "github.com/ron-accounting/ron-accounting/canon"

// This file judges a segment's pieces: what counts, what was never durable (torn), and what was and is damaged.

// minCommit is what a commit's frame takes at least: a damaged range below it can't have held one.
const minCommit = frameFixed + commitFields + frameCheck

// settling is the judgement of one segment.
type settling struct {
	*reading
	s      *segment
	pieces []piece
	later  bool  // another segment follows: what this one holds was given up as durable
	last   int   // index of the last frame
	open   []int // entries since the last commit
	ranges []int // damaged ranges since the last frame that says an epoch
}

// settle takes a segment's pieces into the state.
func (r *reading) settle(s *segment, pieces []piece, later bool) {
	for i := range pieces { // before the cut: marks cover it
		if p := &pieces[i]; p.kind == kindMark {
			s.synced = max(s.synced, p.synced)
		}
	}
	if !later {
		pieces = r.powerCut(s, pieces)
	}
	t := &settling{reading: r, s: s, pieces: pieces, later: later, last: -1}
	for i := range pieces {
		if p := &pieces[i]; p.kind != kindInvalid {
			t.last, s.end = i, p.to
		}
	}
	for i := t.checkpoint(); i < len(pieces); i++ {
		switch p := &pieces[i]; {
		case p.kind == kindInvalid:
			t.ranges = append(t.ranges, i)
		case p.kind == kindEntry && p.m.flags&flagMoved == 0:
			t.open = append(t.open, i)
		case p.kind == kindEntry:
			t.orphans()
			t.entry(p, t.covered(i))
		case p.kind == kindCommit:
			t.commit(i)
		case p.kind == kindMark || p.kind == kindAcks || p.kind == kindState:
			t.orphans()
			t.lay()
			r.judgeOutside(p.epoch, p.known)
			r.complete = r.complete && (!p.known || p.epoch <= r.l.state.epoch)
			if !p.bodyOK && p.to <= s.synced {
				r.damage(s, p.from, p.to, "body of acks")
			} else if !p.bodyOK { // acks wait for the next commit's sync
				r.tear(s, p.from, p.to)
			}
		}
	}
	if later {
		t.orphans()
		t.lay() // judged by what the next segment says
		return
	}
	first := int64(-1)
	for _, i := range append(t.open, t.ranges...) {
		if p := &pieces[i]; first < 0 || p.from < first {
			first = p.from
		}
	}
	if first >= 0 {
		r.tear(s, first, pieces[len(pieces)-1].to)
		s.end = min(s.end, first)
	}
}

// powerCut cuts the last segment where its bytes, not synced before the machine went down, stop being whole: with the policies that don't sync
// each commit, what follows was not written after what is missing was durable.
func (r *reading) powerCut(s *segment, pieces []piece) []piece {
	if len(pieces) == 0 || pieces[0].kind != kindSegment || pieces[0].seg.policy == OnSeal || pieces[0].seg.boot == r.l.boot {
		return pieces
	}
	for i := range pieces {
		p := &pieces[i]
		if p.to <= s.synced || p.kind != kindInvalid && p.bodyOK && (p.kind != kindCommit || p.whole) {
			continue
		}
		from := p.from
		if p.kind == kindCommit {
			from = min(from, max(p.c.first, s.synced))
		}
		r.tear(s, from, pieces[len(pieces)-1].to)
		for i > 0 && pieces[i-1].from >= from {
			i--
		}
		return pieces[:i]
	}
	return pieces
}

// covered reports that piece i was durable: what follows it was written only after it was.
func (t *settling) covered(i int) bool {
	return t.later || i < t.last || t.pieces[i].to <= t.s.synced
}

// checkpoint takes the frames that open a segment, which were durable before it had its name. It returns the index of the first piece behind.
func (t *settling) checkpoint() int {
	r, s := t.reading, t.s
	if s.version == oldVersion {
		r.complete = r.complete || r.lastNum == 0
	}
	whole, state := s.version == formatVersion, -1
	i := 0
loop:
	for ; i < len(t.pieces); i++ {
		p := &t.pieces[i]
		switch {
		case p.kind == kindInvalid:
			if s.version == oldVersion && i > 0 {
				break loop
			}
			r.damage(s, p.from, p.to, "checkpoint")
		case p.kind == kindSegment && p.bodyOK:
			info := &p.seg
			rec := r.rec
			r.l.writer, rec.Window, rec.Dimensions, rec.Policy, rec.BootID = info.writer, info.windowS, info.dimensions, info.policy, info.boot
			continue
		case p.kind == kindState:
			state = i
			i++
			break loop
		case p.kind <= kindCursors && p.bodyOK:
			continue
		case p.kind <= kindCursors:
			r.damage(s, p.from, p.to, "body of a checkpoint's frame")
		default:
			break loop
		}
		whole = false
	}
	if s.version == oldVersion {
		return i
	}
	if len(t.pieces) == 0 || t.pieces[0].kind != kindSegment {
		whole = false
	}
	if state < 0 {
		if !s.damaged {
			r.damage(s, s.end, s.end, "checkpoint: it is cut off")
		}
		r.complete = r.complete && s.num == r.lastNum+1
		r.outside = append(r.outside, span{seg: s, reported: true, any: true}) // what is damaged may reach beyond the checkpoint
		return i
	}
	st := &t.pieces[state].st
	r.judgeOutside(st.epoch, true)
	r.complete = whole || r.complete && s.num == r.lastNum+1 && st.epoch <= r.l.state.epoch
	r.l.writer = st.writer
	r.state(st.epoch, st.file, st.next, !st.lost)
	return i
}

// entry takes an entry that was committed.
func (t *settling) entry(p *piece, durable bool) {
	switch {
	case p.bodyOK:
		t.enter(&p.m, t.s, p.from, false)
	case durable:
		t.damage(t.s, p.from, p.to, "body of an entry")
		t.enter(&p.m, t.s, p.from, true)
	default:
		t.tear(t.s, p.from, p.to)
	}
}

// commit judges the commit whose frame is piece i.
func (t *settling) commit(i int) {
	p := &t.pieces[i]
	open, ranges := t.open, t.ranges
	t.open, t.ranges = nil, nil
	var mine, damaged []int
	for _, k := range open {
		if t.pieces[k].from >= p.c.first {
			mine = append(mine, k)
		} else {
			t.open = append(t.open, k)
		}
	}
	for _, k := range ranges {
		if t.pieces[k].to > p.c.first {
			damaged = append(damaged, k)
		} else {
			t.ranges = append(t.ranges, k)
		}
	}
	t.orphans()
	t.lay()
	if len(damaged) > 0 && t.pieces[damaged[0]].from < p.c.first { // it begins before the commit does
		d := &t.pieces[damaged[0]]
		t.outside = append(t.outside, span{seg: t.s, from: d.from, to: p.c.first, reported: t.covered(i)})
	}
	t.judgeOutside(p.c.epoch-1, true)
	durable := t.covered(i)
	if !p.whole && !durable {
		t.open, t.ranges = append(mine, i), damaged
		return // torn
	}
	for _, k := range damaged {
		t.damage(t.s, t.pieces[k].from, t.pieces[k].to, "frame of an entry")
	}
	for _, k := range mine {
		t.entry(&t.pieces[k], true)
	}
	if !p.bodyOK {
		t.damage(t.s, p.from, p.to, "body of a commit")
		t.complete = t.complete && len(mine) == p.c.count
	}
	for k := range p.table {
		if m := &p.table[k]; !t.has(mine, m) {
			t.enter(m, t.s, p.from, true)
		}
	}
	if t.l.writer == (canon.ID{}) { // the checkpoint is damaged
		t.l.writer = p.c.writer
	}
	t.state(p.c.epoch, p.c.file, p.c.next, true)
}

// has reports whether an entry of a commit's table was found itself.
func (t *settling) has(mine []int, m *meta) bool {
	for _, k := range mine {
		if e := &t.pieces[k].m; e.seq == m.seq && e.stream == m.stream {
			return true
		}
	}
	return false
}

// orphans takes the open entries whose commit's frame is damaged: something follows them, so they were durable.
func (t *settling) orphans() {
	if len(t.open) == 0 {
		return
	}
	table := 0
	for _, k := range t.open {
		table += tableRecordSize(t.pieces[k].m.stream.Dimension)
		t.entry(&t.pieces[k], true)
	}
	known := false
	if len(t.ranges) == 1 {
		p, after := &t.pieces[t.ranges[0]], &t.pieces[t.open[len(t.open)-1]]
		rest := p.to - p.from - frameSize(commitFields, table)
		known = p.from == after.to && (rest == 0 || rest == markSize)
	}
	for _, k := range t.ranges {
		t.damage(t.s, t.pieces[k].from, t.pieces[k].to, "frame of a commit")
	}
	if len(t.ranges) == 0 {
		p := &t.pieces[t.open[0]]
		t.damage(t.s, p.from, p.from, "entries without a commit")
	}
	t.complete = t.complete && known
	t.state(t.pieces[t.open[0]].m.epoch, FileState{}, FileState{}, false)
	t.open, t.ranges = nil, nil
}

// lay puts damaged ranges that are in no commit aside, until it is known which epoch follows.
func (t *settling) lay() {
	for _, k := range t.ranges {
		p := &t.pieces[k]
		cut := t.later && !t.s.declared && k == len(t.pieces)-1 // the file may have been longer
		t.outside = append(t.outside, span{seg: t.s, from: p.from, to: p.to, any: cut})
	}
	t.ranges = nil
}

// judgeOutside judges the ranges put aside, now that a frame behind them says which epoch had been committed. If it is the one before them, they
// held no commit: acks and marks, which may be lost without loss where nothing had synced them.
func (r *reading) judgeOutside(epoch uint64, known bool) {
	for _, o := range r.outside {
		unsynced := o.seg.declared && o.from >= o.seg.synced
		harmless := !o.any && (unsynced || o.to-o.from < minCommit) || known && epoch <= r.l.state.epoch
		switch {
		case o.reported:
		case harmless && o.to > o.seg.synced:
			r.tear(o.seg, o.from, o.to)
			continue
		default:
			r.damage(o.seg, o.from, o.to, "frame")
		}
		r.complete = r.complete && harmless
	}
	r.outside = r.outside[:0]
}
