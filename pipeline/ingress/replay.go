package ingress

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// This file reads back what a log holds.

// replay hands out what recovery found. Entries of an earlier writer of the log come first: they are older.
func (st *logStore) replay(r *replayed) error {
	rec := st.rec
	st.rec = nil
	st.takeHeads(rec)
	for _, d := range rec.Damage {
		r.broken(fmt.Sprintf("segment %d, bytes %d to %d: %s", d.Segment, d.From, d.To, d.What), wal.ErrWALCorrupt)
	}
	for _, h := range rec.Holes {
		r.broken(fmt.Sprintf("%s: %d entries are lost (log stream %v, from %d)", h.Stream.Dimension, h.To-h.From+1, h.Stream, h.From), wal.ErrWALCorrupt)
	}
	slices.SortStableFunc(rec.Pending, func(a, b wal.Pending) int {
		return cmp.Compare(b2i(a.Stream.Writer == rec.Writer), b2i(b.Stream.Writer == rec.Writer))
	})
	read := func(dimension string, f func(p *wal.Pending, body []byte) error) error {
		var body []byte
		for i := range rec.Pending {
			p := &rec.Pending[i]
			if p.Stream.Dimension != dimension {
				continue
			}
			b, err := st.log.Read(p.Ref, body[:0])
			if err == nil {
				body, err = b, f(p, b)
			}
			if err != nil {
				r.broken(fmt.Sprintf("%s: log stream %v, entry %d", dimension, p.Stream, p.Seq), err)
			}
		}
		return nil
	}
	_ = read(ofAcked, func(p *wal.Pending, b []byte) error {
		n := 0
		for ; len(b) > 0; n++ {
			a, rest, err := parseAcked(b)
			if err != nil {
				return err
			}
			r.acked(a)
			b = rest
		}
		st.acked.held = append(st.acked.held, run{p.Stream, p.Seq, n})
		return nil
	})
	_ = read(ofKeys, func(p *wal.Pending, b []byte) error {
		n := 0
		for ; len(b) > 0; n++ {
			k, rest, err := parseKey(b)
			if err != nil {
				return err
			}
			r.key(k)
			b = rest
		}
		st.keys.held = append(st.keys.held, run{p.Stream, p.Seq, n})
		return nil
	})
	slots := map[wal.Stream]*slot{}
	for _, s := range st.free {
		slots[s.stream] = s
	}
	_ = read(ofStaged, func(p *wal.Pending, b []byte) error {
		s, err := canon.ViewSummed(b, p.Digest) // the log has checked the digest
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		at := slots[p.Stream]
		if at == nil {
			at = &slot{stream: p.Stream, next: p.Seq + 1}
			slots[p.Stream] = at
		}
		e := &entry{at: spot{slot: at, seq: p.Seq, ref: p.Ref}, digest: p.Digest, size: int64(len(b))}
		at.order = append(at.order, &e.at)
		at.owner = export.StreamOf(s.Head()) // the last one's: those before it were acked when it took the slot
		st.bound[at.owner] = at
		r.staged(e, s)
		return nil
	})
	st.free = slices.DeleteFunc(st.free, func(s *slot) bool { return len(s.order) > 0 })
	for name, s := range st.bound {
		if s.stream.Writer != rec.Writer || len(s.order) == 0 {
			delete(st.bound, name) // nothing is added to it
		}
	}
	return st.recount(rec, r)
}

// takeHeads learns where the log's own streams stand. All slots are free so far.
func (st *logStore) takeHeads(rec *wal.Recovered) {
	for i := range rec.Heads {
		h := &rec.Heads[i]
		if h.Stream.Writer != rec.Writer {
			continue
		}
		for _, j := range []*journal{&st.keys, &st.acked, &st.batches} {
			if j.stream == h.Stream {
				j.next, j.head = h.Next, h.Digest
			}
		}
		if h.Stream.Dimension == ofStaged {
			st.free = append(st.free, &slot{stream: h.Stream, next: h.Next, head: h.Digest})
			st.slots = max(st.slots, be.Uint64(h.Stream.Tenant[8:])+1)
		}
	}
}

// recount brings to an end what was being counted when the process ended: a batch whose key is remembered counts, whole. After a power cut it is not known
// how far each had come; what was counted and not sealed is gone with the counters then, and nothing is counted twice.
func (st *logStore) recount(rec *wal.Recovered, r *replayed) error {
	var body []byte
	for i := range rec.Pending {
		p := &rec.Pending[i]
		if p.Stream.Dimension != ofBatches {
			continue
		}
		b, err := st.log.Read(p.Ref, body[:0])
		if err != nil {
			r.broken(fmt.Sprintf("%s: entry %d", ofBatches, p.Seq), err)
			st.log.Ack(p.Stream, p.Seq)
			continue
		}
		body = b
		seq, done, known := st.progress.of(p.Stream.Writer)
		switch {
		case known && !rec.NewBoot && p.Seq < seq:
		case !known || rec.NewBoot:
			r.uncertain(p.Seq)
		default:
			if p.Seq > seq {
				done = 0
			}
			if err := r.batch(b, done, func(done int) { st.progress.set(p.Seq, done) }); err != nil {
				return fmt.Errorf("a batch of POST /record is not counted yet: %w", err)
			}
		}
		st.log.Ack(p.Stream, p.Seq)
	}
	if err := st.log.Maintain(); err != nil { // the acks are written before the progress is begun anew
		return err
	}
	st.progress.begin(rec.Writer, st.batches.next)
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
