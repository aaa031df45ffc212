package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// connect makes a router for each sink and hands them what recovery found pending.
func (p *Pipeline) connect() error {
	for i, s := range p.o.Sinks {
		fairness := lane.RoundRobin
		if p.o.Fairness == WFQ {
			fairness = lane.WFQ
		}
		r, err := lane.New(lane.Config{
			Sink:         s,
			Workers:      p.o.ExportWorkers,
			LaneCapacity: p.o.LaneCapacity,
			Tuning: lane.Tuning{
				Fairness: fairness, Weights: p.o.Weights,
				Base: p.o.Backoff.Base, Cap: p.o.Backoff.Cap, OpDeadline: p.o.OpDeadline,
			},
			Load:   p.loadBody,
			Hooks:  p.hooks(i),
			Logger: p.log,
			Tracer: p.o.Tracer,
		})
		if err != nil {
			return fmt.Errorf("sink %s: %w", s.Name, err)
		}
		p.routers = append(p.routers, r)
	}
	for _, s := range p.streams.all() {
		p.addLanes(s)
	}
	for _, s := range p.retired {
		p.addLanes(s)
	}
	return nil
}

// newStream makes a stream that begins its chain; called under the stream table's lock.
func (p *Pipeline) newStream(id uint32, k streamKey) *stream {
	s := &stream{id: id, tenant: k.tenant, dim: k.dim, name: export.Stream{Writer: p.writer, Tenant: k.tenant, Dimension: p.dims[k.dim]}}
	p.restoreHead(s)
	p.addLanes(s)
	return s
}

func (p *Pipeline) addLanes(s *stream) {
	if len(p.routers) == 0 {
		return
	}
	for _, r := range p.routers {
		s.lanes = append(s.lanes, r.Lane(s.name))
	}
	s.late = make([]atomic.Bool, len(p.routers))
	if p.wal == nil {
		return
	}
	h, _ := p.wal.Head(wal.Stream(s.name))
	for i := range p.o.Sinks {
		sink := &p.o.Sinks[i]
		if _, asks := sink.Exporter.(export.Tipper); sink.Required || asks || h.Acked == 0 {
			continue // one that knows its tip refuses what does not follow it, and takes it after a replay
		}
		if seq, _, ok := p.wal.Cursor(sink.Name, wal.Stream(s.name)); !ok || seq+1 < h.Acked {
			p.leaveBehind(i, s, h.Acked, export.ErrGap)
		}
	}
}

// enqueue hands committed slices to every sink. Under sealMu. A stream's slice that an optional sink has no room for is not given to it, nor any
// later one: its chain there ends until a replay mends it.
func (p *Pipeline) enqueue(out []*pending) {
	for i, r := range p.routers {
		p.s.items = p.s.items[:0]
		for _, q := range out {
			l := q.stream.lanes[i]
			if !p.o.Sinks[i].Required && (q.stream.late[i].Load() || l.Room() == 0 || !q.inMemory()) {
				p.leaveBehind(i, q.stream, q.seq, ErrOrderOverflow)
				p.metrics.QueueDropped.WithLabelValues("lane", "optional_behind").Inc()
				p.releasePending(q)
				continue
			}
			p.s.items = append(p.s.items, q.item(i))
		}
		if n, err := r.Enqueue(p.s.items...); err != nil {
			p.log.Error("enqueue", "sink", p.o.Sinks[i].Name, "accepted", n, "of", len(p.s.items), "err", err)
		}
	}
}

// item readies the slice's item for a sink.
func (q *pending) item(sink int) *lane.Item {
	it := &q.items[sink]
	*it = lane.Item{Lane: q.stream.lanes[sink], Seq: q.seq, Size: q.size, EnqueuedAt: q.at, User: q}
	if q.inMemory() {
		it.Slice = &q.slice
	}
	return it
}

// leaveBehind ends a stream's chain at an optional sink, once.
func (p *Pipeline) leaveBehind(sink int, s *stream, seq uint64, why error) {
	if s.late[sink].CompareAndSwap(false, true) {
		p.log.Warn("optional sink left behind: benchrig replay mends it", "sink", p.o.Sinks[sink].Name, "stream", s.name, "seq", seq, "err", why)
	}
}

// optionalHalted takes what a halted lane of an optional sink holds off it: the sink must not hold memory for ever.
func (p *Pipeline) optionalHalted(sink int, l *lane.Lane, seq uint64, err error) {
	items, derr := l.Discard()
	if derr != nil {
		return // not halted any more
	}
	for _, it := range items {
		q := it.User.(*pending)
		p.leaveBehind(sink, q.stream, seq, err)
		p.metrics.QueueDropped.WithLabelValues("lane", "optional_behind").Inc()
		p.releasePending(q)
	}
}

// hooks ties a router's events to the books, the metrics and readiness.
func (p *Pipeline) hooks(sink int) lane.Hooks {
	return lane.Hooks{
		Acked:  func(now time.Time, items []*lane.Item, acks []export.Ack) { p.acked(sink, now, items, acks) },
		Failed: p.exportFailed,
		Halted: func(l *lane.Lane, seq uint64, err error) {
			p.metrics.Exports.WithLabelValues("fail").Inc()
			if !p.o.Sinks[sink].Required {
				p.optionalHalted(sink, l, seq, err)
				return
			}
			if p.wal != nil && errors.Is(err, export.ErrConflict) {
				err = fmt.Errorf("%w: %w", ErrCloned, err)
				p.log.Error("another owner of this writer id", "stream", l.Stream(), "err", err)
			}
			p.sinkState(sink, err)
		},
		Circuit: func(open bool, err error) {
			if open {
				p.sinkState(sink, fmt.Errorf("accounting: sink %s does not answer: %w", p.o.Sinks[sink].Name, err))
			} else {
				p.sinkState(sink, nil)
			}
		},
	}
}

// sinkState keeps the worst that is known of each required sink; exporter_ok is the sum. An optional sink never degrades readiness.
func (p *Pipeline) sinkState(sink int, err error) {
	if !p.o.Sinks[sink].Required {
		return
	}
	p.sinkMu.Lock()
	defer p.sinkMu.Unlock()
	if err != nil && (errors.Is(err, export.ErrGap) || errors.Is(err, export.ErrConflict)) {
		p.halted.add(err) // a halted lane stays an alarm until the process ends or an operator mends it
	} else {
		p.sinkErr[sink] = err
	}
	p.judgeSinks()
}

// judgeSinks sets exporter_ok by what is known. Under sinkMu.
func (p *Pipeline) judgeSinks() {
	p.ready.set(ExporterOK, errors.Join(append(append([]error{p.halted.err(), p.broken.err(), p.tipErr}, p.sinkErr...), p.sinkDeaf...)...))
}

// judgeDeaf looks for required sinks that do not even return when their time is up.
func (p *Pipeline) judgeDeaf() {
	p.sinkMu.Lock()
	defer p.sinkMu.Unlock()
	changed := false
	for i, r := range p.routers {
		if n := r.Stats().Stuck; p.o.Sinks[i].Required && (n > 0) != (p.sinkDeaf[i] != nil) {
			changed, p.sinkDeaf[i] = true, nil
			if n > 0 {
				p.sinkDeaf[i] = fmt.Errorf("accounting: sink %s ignores its deadline: %w", p.o.Sinks[i].Name, export.ErrTimeout)
			}
		}
	}
	if changed {
		p.judgeSinks()
	}
}

// acked is the end of slices' way to one sink.
func (p *Pipeline) acked(sink int, now time.Time, items []*lane.Item, acks []export.Ack) {
	required := p.o.Sinks[sink].Required
	ok, dup := 0, 0
	marks := p.marks()
	for i, it := range items {
		q := it.User.(*pending)
		if acks[i] == export.AckDuplicate {
			dup++
		} else {
			ok++
		}
		p.metrics.ExportLatency.Observe(now.Sub(it.EnqueuedAt).Seconds())
		p.metrics.OrderingWait.Observe(it.Held.Seconds())
		if p.o.Events != nil {
			p.event(Event{Kind: SliceExported, Stream: q.stream.name, Seq: it.Seq, Digest: q.digest, Sink: p.o.Sinks[sink].Name, Ack: acks[i], At: now})
		}
		marks.cursor(q)
		if required && q.need.Add(-1) == 0 {
			marks.end(q)
		}
	}
	p.settle(p.o.Sinks[sink].Name, marks)
	for _, it := range items {
		p.releasePending(it.User.(*pending))
	}
	p.metrics.Exports.WithLabelValues("ok").Add(float64(ok))
	p.metrics.Exports.WithLabelValues("dup").Add(float64(dup))
	p.metrics.DupDetected.Add(float64(dup))
}

// finish books slices as acked by all required sinks.
func (p *Pipeline) finish(out []*pending, units []u128) {
	p.bookEach(out, units, func(b *book, u u128) {
		b.pending = b.pending.Sub(u)
		b.acked = b.acked.Add(u)
	})
	for len(out) > 0 {
		n, epoch := 1, out[0].epoch
		for n < len(out) && out[n].epoch == epoch {
			n++
		}
		p.tracker.done(epoch, n)
		out = out[n:]
	}
}

// bookEach enters the units of many slices, once a dimension. units, one a dimension, is zero before and after.
func (p *Pipeline) bookEach(out []*pending, units []u128, f func(b *book, u u128)) {
	for _, q := range out {
		d := q.stream.dim
		units[d] = units[d].Add(q.units)
	}
	for d, u := range units {
		if !u.IsZero() {
			p.books.edit(Dimension(d), func(b *book) { f(b, u) })
			units[d] = u128{}
		}
	}
}

func (p *Pipeline) exportFailed(f lane.Failure) {
	if f.Class != lane.Halt { // Halted counts that
		p.metrics.Exports.WithLabelValues(f.Class.String()).Add(float64(f.Slices))
	}
	if f.Retried {
		op := "put"
		if f.Op == "handshake" {
			op = "handshake"
		}
		p.metrics.Retries.WithLabelValues(op).Inc()
	}
}

func (p *Pipeline) event(e Event) {
	if p.o.Events.push(e) {
		p.metrics.QueueDropped.WithLabelValues("events", "oldest").Inc()
	}
}

// drainOptional waits until the optional sinks have what is queued for them, or ctx ends: a chain that ends at Close must be mended by a replay. One
// that does not answer is not waited for.
func (p *Pipeline) drainOptional(ctx context.Context) {
	for i, r := range p.routers {
		if st := r.Stats(); !p.o.Sinks[i].Required && !st.Open && st.Stuck == 0 {
			_ = r.Drain(ctx) // what is left closeRouters tells
		}
	}
}

// closeRouters ends the export: calls in flight are cancelled once ctx ends.
func (p *Pipeline) closeRouters(ctx context.Context) error {
	errs := make([]error, len(p.routers))
	var wg sync.WaitGroup
	for i, r := range p.routers {
		wg.Go(func() { errs[i] = r.Close(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
