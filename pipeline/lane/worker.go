package lane

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// batch is one call and what came of it. Each worker has one and uses it again.
type batch struct {
	n       int // items
	probe   bool
	time    time.Duration // for the call
	runs    []run
	items   []*Item
	results []export.Result // one an item

	slices []canon.SealedSlice // those that the sink is asked about
	sent   []int               // their indices in items
	began  time.Duration
	wall   time.Time // the same

	acked  []*Item
	acks   []export.Ack
	gens   []tally
	alive  bool // the sink answered something: an ack, a gap or a conflict
	retry  time.Duration
	size   bool // a smaller batch may pass
	failed [classes]Failure
	events []func()
}

type tally struct {
	gen uint64
	n   int
}

// call is a worker's call in flight, for the timekeeper's eyes.
type call struct {
	began  time.Duration
	busy   bool
	warned bool
}

// errBehind is the result of an item behind a failed one of its own run; it is not counted.
var errBehind = errors.New("accounting/lane: behind a failed slice")

// reset lets go of everything but the memory.
func (b *batch) reset() {
	clear(b.items)
	clear(b.slices)
	clear(b.runs)
	clear(b.results)
	clear(b.acked)
	clear(b.events)
	*b = batch{runs: b.runs[:0], items: b.items[:0], results: b.results[:0], slices: b.slices[:0], sent: b.sent[:0],
		acked: b.acked[:0], acks: b.acks[:0], gens: b.gens[:0], events: b.events[:0]}
}

// worker takes batches until Close.
func (r *Router) worker(i int) {
	defer r.running.Done()
	ctx := pprof.WithLabels(r.ctx, pprof.Labels("stage", "export"))
	pprof.SetGoroutineLabels(ctx)
	b := new(batch)
	for r.take(b, &r.calls[i]) {
		r.export(ctx, b)
		r.settle(b, &r.calls[i])
		for _, e := range b.events {
			e()
		}
		b.reset()
	}
}

// runnable says whether a call may start now.
func (r *Router) runnable() bool {
	return len(r.flows.heap) > 0 && !r.paused && (r.circuit.state == closed || r.circuit.state == due)
}

// wake gets a worker to work if there is any. A worker that took a batch wakes the next if there is more.
func (r *Router) wake() {
	if r.waiting > 0 && r.runnable() {
		r.work.Signal()
	}
}

// take waits for work and builds a batch; false after Close.
func (r *Router) take(b *batch, c *call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closing && !r.runnable() {
		r.waiting++
		r.work.Wait()
		r.waiting--
	}
	if r.closing {
		return false
	}
	slices := r.limit.now
	if r.circuit.state == due {
		r.circuit.state, b.probe, slices = probing, true, 1
	}
	r.build(b, slices, r.cfg.MaxBatchBytes)
	b.began, b.wall, b.time = r.now(), time.Now(), r.cfg.OpDeadline
	*c = call{began: b.began, busy: true}
	r.watch(b.began + stuckAfter*r.cfg.OpDeadline)
	r.wake()
	return true
}

// export puts the batch, sorts the answers by run, and tells the hooks.
func (r *Router) export(ctx context.Context, b *batch) {
	r.prepare(b)
	if len(b.slices) > 0 {
		ctx, end := r.traceCall(ctx, b)
		results, err := r.call(ctx, b.time, b.slices)
		for i, at := range b.sent {
			switch {
			case err != nil:
				b.results[at] = export.Result{Err: err}
			case results[i].Err != nil:
				b.results[at] = export.Result{Err: sound(results[i].Err)}
			case results[i].Ack != export.AckOK && results[i].Ack != export.AckDuplicate:
				b.results[at] = export.Result{Err: fmt.Errorf("%w: got %v and no error", ErrAnswer, results[i].Ack)}
			default:
				b.results[at].Ack = results[i].Ack
			}
		}
		end(b)
	}
	r.sort(b)
	now := time.Now()
	if len(b.acked) > 0 && r.cfg.Hooks.Acked != nil {
		r.cfg.Hooks.Acked(now, b.acked, b.acks)
	}
	if r.ctx.Err() != nil {
		return // Close cut the call short: no failure of the sink
	}
	for i := range b.failed {
		if f := &b.failed[i]; f.Slices > 0 && r.cfg.Hooks.Failed != nil {
			f.Whole = !b.alive
			r.cfg.Hooks.Failed(*f)
		}
	}
}

// prepare collects the slices to ask the sink about. What can be answered here is.
func (r *Router) prepare(b *batch) {
	i := 0
	for j := range b.runs {
		run := &b.runs[j]
		var err error
		for range run.n {
			var res export.Result
			var s canon.SealedSlice
			if err != nil {
				res.Err = errBehind
			} else if s, err = r.body(b.items[i]); err != nil {
				res.Err = err
			} else if run.old {
				res = r.again(run.lane, b.items[i].Seq, s)
			}
			b.results = append(b.results, res)
			if res == (export.Result{}) {
				b.slices = append(b.slices, s)
				b.sent = append(b.sent, i)
			}
			i++
		}
	}
}

// body returns the item's slice, from where it is.
func (r *Router) body(it *Item) (s canon.SealedSlice, err error) {
	if it.Slice != nil {
		return *it.Slice, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrLoad, p)
		}
	}()
	s, err = r.cfg.Load(it)
	if err != nil {
		return s, fmt.Errorf("%w: %v seq %d: %w", ErrLoad, it.Lane, it.Seq, err)
	}
	if h := s.Head(); h.Seq != it.Seq || export.StreamOf(h) != it.Lane.stream {
		return s, fmt.Errorf("%w: %v seq %d: got %v seq %d", ErrLoad, it.Lane, it.Seq, export.StreamOf(h), h.Seq)
	}
	return s, nil
}

// again answers for a slice that was handed in twice, from what the router remembers; the zero Result: ask the sink.
func (r *Router) again(l *Lane, seq uint64, s canon.SealedSlice) export.Result {
	d, ok := l.tip, seq == l.acked
	if !ok {
		d, ok = r.recent.get(l.id, seq)
	}
	switch {
	case !ok:
		return export.Result{}
	case d == s.Digest():
		return export.Result{Ack: export.AckDuplicate}
	}
	return export.Result{Err: fmt.Errorf("%w: %v seq %d: got %.15s, acked was %.15s", export.ErrConflict, l, seq, s.Digest(), d)}
}

// call asks the sink, with a deadline, and survives it. The error is for all slices.
func (r *Router) call(ctx context.Context, limit time.Duration, slices []canon.SealedSlice) (results []export.Result, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, export.ErrTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			r.cfg.Logger.Error("exporter panicked", "sink", r.cfg.Sink.Name, "panic", p, "stack", string(debug.Stack()))
			results, err = nil, fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	if r.batcher == nil {
		ack, err := r.cfg.Sink.Exporter.Put(ctx, slices[0])
		return []export.Result{{Ack: ack, Err: err}}, nil
	}
	results = r.batcher.PutBatch(ctx, slices)
	if len(results) != len(slices) {
		return nil, fmt.Errorf("%w: got %d results, want %d", ErrAnswer, len(results), len(slices))
	}
	return results, nil
}

// sort finds how far each run got and gathers the acks. Acked items are the caller's as soon as the hook returns: what
// settle needs of them is noted here.
func (r *Router) sort(b *batch) {
	i, sent := 0, 0
	r.recent.mu.Lock()
	defer r.recent.mu.Unlock()
	for j := range b.runs {
		run := &b.runs[j]
		for k := range run.n {
			it, res := b.items[i+k], b.results[i+k]
			asked := sent < len(b.sent) && b.sent[sent] == i+k
			if asked {
				sent++
			}
			if run.err != nil {
				continue
			}
			if res.Err != nil {
				run.err, run.why = res.Err, classify(res.Err)
				r.note(b, run, asked)
				continue
			}
			run.done++
			b.acked, b.acks = append(b.acked, it), append(b.acks, res.Ack)
			b.tally(it.gen)
			if asked {
				b.alive = true
			}
			if asked && !run.old {
				run.seq, run.tip = it.Seq, b.slices[sent-1].Digest()
				r.recent.put(run.lane.id, it.Seq, &run.tip)
			}
		}
		if run.done > 0 {
			run.lane.n.Add(-int32(run.done))
		}
		i += run.n
	}
}

// note counts a run's failure.
func (r *Router) note(b *batch, run *run, asked bool) {
	f := &b.failed[run.why.class]
	if f.Slices == 0 {
		*f = Failure{Class: run.why.class, Op: run.why.op, Err: run.err, Retried: run.why.class != Halt}
	}
	f.Slices++
	if !asked {
		return
	}
	b.alive = b.alive || run.why.class == Halt
	b.retry = max(b.retry, run.why.retryAfter)
	b.size = b.size || run.why.size
}

// tally counts an acked item for its drain generation.
func (b *batch) tally(gen uint64) {
	for i := range b.gens {
		if b.gens[i].gen == gen {
			b.gens[i].n++
			return
		}
	}
	b.gens = append(b.gens, tally{gen, 1})
}
