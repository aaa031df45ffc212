package pipeline

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/shardmap"
)

// recover makes the shard map and, with a WAL, brings back what an earlier run left: the writer, the chains' heads, what is pending.
func (p *Pipeline) recover() error {
	if p.o.WAL == nil {
		rand.Read(p.writer[:])
		return p.makeMap()
	}
	rec, err := p.openWAL()
	if err != nil {
		return err
	}
	p.restoreBooks(rec)
	if p.o.CounterFile == "" {
		err = p.makeRestored(rec)
	} else {
		err = p.mapCounters(rec)
	}
	if err != nil {
		return err
	}
	return p.restorePending(rec)
}

// makeMap makes an empty shard map.
func (p *Pipeline) makeMap() (err error) {
	p.m, err = shardmap.NewWide(p.mapConfig())
	return err
}

func (p *Pipeline) mapConfig() shardmap.Config {
	return shardmap.Config{Capacity: p.o.CapacityRows, Partitions: p.o.Shards}
}

// openWAL opens the log and says what it found.
func (p *Pipeline) openWAL() (*wal.Recovered, error) {
	o := *p.o.WAL
	if o.Now == nil {
		o.Now = p.o.Clock.Now
	}
	told := o.OnFsync
	o.OnFsync = func(d time.Duration) {
		p.metrics.WALFsync.Observe(d.Seconds())
		if told != nil {
			told(d)
		}
	}
	log, rec, err := wal.Open(o, wal.Identity{WindowS: p.seconds, Dimensions: p.dims})
	if err != nil {
		return nil, err
	}
	p.wal, p.writer, p.epoch = log, log.Writer(), rec.Epoch
	p.metrics.WALReplay.Observe(rec.Duration.Seconds())
	p.log.Info("WAL recovered", "writer", p.writer.String()[:8], "epoch", rec.Epoch, "streams", len(rec.Heads), "pending", len(rec.Pending),
		"rewritten", rec.Rewritten, "torn", rec.Torn, "torn_bytes", rec.TornBytes, "took", rec.Duration)
	if rec.NewWriter && !rec.NewDir {
		p.log.Warn("new writer: commits that were exported may have been lost with the machine", "old", rec.OldWriter.String()[:8])
	}
	for _, d := range rec.Damage {
		p.log.Error("WAL damage", "segment", d.Segment, "from", d.From, "to", d.To, "what", d.What)
	}
	for _, h := range rec.Holes {
		p.log.Error("slices lost from the WAL", "stream", h.Stream, "from", h.From, "to", h.To, "units_known", h.UnitsKnown, "units", h.Units.Lo)
	}
	return rec, nil
}

// dimensionOf finds a dimension by its name: its number may have changed.
func (p *Pipeline) dimensionOf(name string) (Dimension, bool) {
	i := slices.Index(p.dims, name)
	return Dimension(max(i, 0)), i >= 0
}

// restoreBooks books what earlier runs sealed: of a dimension, all that its chains ever carried, less what is pending and what is lost, is acked.
func (p *Pipeline) restoreBooks(rec *wal.Recovered) {
	for i := range rec.Heads {
		if d, ok := p.dimensionOf(rec.Heads[i].Stream.Dimension); ok {
			u := unitsOf(rec.Heads[i].Units)
			p.books.edit(d, func(b *book) { b.earlier, b.acked = b.earlier.Add(u), b.acked.Add(u) })
		}
	}
	for i := range rec.Holes {
		if h := &rec.Holes[i]; h.UnitsKnown {
			if d, ok := p.dimensionOf(h.Stream.Dimension); ok {
				u := unitsOf(h.Units)
				p.books.edit(d, func(b *book) { b.acked, b.gap = b.acked.Sub(u), b.gap.Add(u) })
			}
		}
	}
}

// restoreHead gives a stream of the current writer its place in its chain.
func (p *Pipeline) restoreHead(s *stream) {
	if p.wal == nil {
		return
	}
	h, ok := p.wal.Head(wal.Stream(s.name))
	if !ok {
		return
	}
	s.next, s.prev, s.hasPrev, s.sealedAt = h.Next, h.Digest, h.Known, h.SealedAtMS
	s.windowEnd, s.windowStart = h.WindowEndS, h.WindowEndS-p.seconds // its start may lie before; the next one's must not
}

// restorePending brings back the slices that are not acked, and the streams that damage has left a hole in.
func (p *Pipeline) restorePending(rec *wal.Recovered) error {
	heads := make(map[wal.Stream]*wal.Head, len(rec.Heads))
	repairs := map[wal.Stream]*repair{}
	streams := map[wal.Stream]*stream{}
	wait := func(h *wal.Head) (*repair, error) {
		if r := repairs[h.Stream]; r != nil {
			return r, nil
		}
		s, err := p.recoveredStream(streams, h.Stream)
		if err != nil {
			return nil, err
		}
		s.halted = true // until it is known what the sink holds
		r := &repair{s: s, head: *h}
		repairs[h.Stream] = r
		p.waiting = append(p.waiting, r)
		return r, nil
	}
	for i := range rec.Heads {
		h := &rec.Heads[i]
		heads[h.Stream] = h
		if (!h.Known || p.o.DeclareRollback) && h.Next > 0 && !h.Retired {
			if _, err := wait(h); err != nil {
				return err
			}
		}
	}
	for _, hole := range rec.Holes {
		if h := heads[hole.Stream]; h != nil && !h.Retired {
			r, err := wait(h)
			if err != nil {
				return err
			}
			r.holes = append(r.holes, hole)
		}
	}
	now := p.o.Clock.Now()
	for i := range rec.Pending {
		e := &rec.Pending[i]
		s, err := p.recoveredStream(streams, e.Stream)
		if err != nil {
			return err
		}
		q := &pending{stream: s, seq: e.Seq, digest: e.Digest, units: unitsOf(e.Units), size: e.Bytes, ref: e.Ref, at: now, items: make([]lane.Item, len(p.o.Sinks))}
		p.books.edit(s.dim, func(b *book) { b.acked, b.pending = b.acked.Sub(q.units), b.pending.Add(q.units) })
		if r := repairs[e.Stream]; r != nil {
			r.pending = append(r.pending, q)
		} else {
			p.backlog = append(p.backlog, q)
		}
	}
	p.tracker.add(0, len(rec.Pending))
	latest := slices.SortedFunc(maps.Values(heads), func(a, b *wal.Head) int { return cmp.Compare(b.SealedAtMS, a.SealedAtMS) })
	for _, h := range latest[:min(len(latest), tipSample)] {
		if repairs[h.Stream] == nil && !h.Retired {
			p.sampled = append(p.sampled, h.Stream)
		}
	}
	return nil
}

// recoveredStream returns the stream of a recovered slice, made and kept in known at the first: the current writer's in the stream table, an
// earlier one's beside it, because it is exported and never sealed.
func (p *Pipeline) recoveredStream(known map[wal.Stream]*stream, name wal.Stream) (*stream, error) {
	if s := known[name]; s != nil {
		return s, nil
	}
	d, ok := p.dimensionOf(name.Dimension)
	if !ok {
		return nil, fmt.Errorf("%w: %s has slices of dimension %q that are not acked, and it is not configured", wal.ErrWALDirUnusable, p.o.WAL.Dir, name.Dimension)
	}
	var s *stream
	if name.Writer == p.writer {
		k := streamKey{name.Tenant, d}
		id, ok := p.streams.add(k, func(id uint32) *stream { return p.newStream(id, k) })
		if !ok {
			return nil, fmt.Errorf("%w: %s has pending slices of more streams than MaxStreams, %d", wal.ErrWALDirUnusable, p.o.WAL.Dir, p.o.MaxStreams)
		}
		s = p.streams.all()[id]
	} else {
		s = &stream{tenant: name.Tenant, dim: d, name: export.Stream(name), halted: true}
		p.retired = append(p.retired, s)
	}
	known[name] = s
	return s, nil
}

// resume sends the slices that were pending before this run on their way. Every sink that has acked one already, by its cursor, is left out.
func (p *Pipeline) resume(list []*pending) {
	m := p.marks()
	items := make([][]*lane.Item, len(p.routers))
	for _, q := range list {
		need, hold := p.required, int32(0)
		var todo []int
		for i := range p.routers {
			s := &p.o.Sinks[i]
			seq, _, ok := p.wal.Cursor(s.Name, wal.Stream(q.stream.name))
			switch {
			case ok && seq >= q.seq:
				if s.Required {
					need--
				}
			case !s.Required && q.stream.late[i].Load():
			default:
				todo, hold = append(todo, i), hold+1
			}
		}
		q.need.Store(need)
		q.hold.Store(hold + 1)
		for _, i := range todo {
			items[i] = append(items[i], q.item(i))
		}
		if need == 0 {
			m.end(q)
		}
	}
	p.settle("", m)
	for i, r := range p.routers {
		if n, err := r.Enqueue(items[i]...); err != nil {
			p.log.Error("enqueue", "sink", p.o.Sinks[i].Name, "accepted", n, "of", len(items[i]), "err", err)
		}
	}
	for _, q := range list {
		p.releasePending(q)
	}
}

// handBacklog gives the host, with New, what an earlier run, or Flush, had sealed and not handed over.
func (p *Pipeline) handBacklog() ([]canon.SealedSlice, error) {
	var out []canon.SealedSlice
	for _, q := range p.backlog {
		if q.inMemory() {
			out = append(out, q.slice.Clone())
			continue
		}
		s, err := p.readBack(q)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	p.handedOver(p.backlog)
	p.backlog = nil
	return out, nil
}

// dismantle ends the export and closes the WAL. What Close and a failed Open have in common.
func (p *Pipeline) dismantle() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.closeRouters(ctx)
	return errors.Join(err, p.closeWAL())
}
