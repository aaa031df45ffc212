package lane

import (
	"context"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// drains counts the items that are not acked, by generation. Each Drain ends a generation, so that it waits for what was
// enqueued before it and not for what comes after.
type drains struct {
	first   uint64 // generation of counts[0]
	counts  []int  // the last one is open
	waiting []*drainer
}

type drainer struct {
	gen  uint64
	done chan struct{}
}

// open adds n items to the open generation and returns it.
func (d *drains) open(n int) uint64 {
	if len(d.counts) == 0 {
		d.counts = append(d.counts, 0)
	}
	d.counts[len(d.counts)-1] += n
	return d.first + uint64(len(d.counts)) - 1
}

func (d *drains) sub(gen uint64, n int) {
	d.counts[gen-d.first] -= n
	d.trim()
}

// next ends the open generation.
func (d *drains) next() {
	d.counts = append(d.counts, 0)
	d.trim()
}

func (d *drains) trim() {
	for len(d.counts) > 1 && d.counts[0] == 0 {
		d.counts = append(d.counts[:0], d.counts[1:]...)
		d.first++
	}
}

// upTo returns how many items of gen and earlier are not acked.
func (d *drains) upTo(gen uint64) (n int) {
	for i, c := range d.counts {
		if d.first+uint64(i) <= gen {
			n += c
		}
	}
	return n
}

// DrainError says what a router still holds. It is ErrTimeout where time ran out, ErrHalted where only halted lanes hold
// slices, and the last export error.
type DrainError struct {
	Sink            string
	Slices, Streams int
	InFlight        int // of Slices: in a call now
	Resting, Halted int // of Streams
	Paused          bool
	Open            bool          // the circuit: the sink as a whole does not answer
	Oldest          time.Duration // age of the oldest slice that is not in a call
	Sample          []Pending     // some of the streams, halted ones first
	Cause           error         // the last failure, where there was one
	Kind            error         // export.ErrTimeout, ErrHalted or ErrClosed
}

// Pending is one stream of a DrainError.
type Pending struct {
	Stream export.Stream
	Seq    uint64 // the first that is queued
	Slices int
	State  string
	Err    error
}

func (e *DrainError) Error() string {
	s := fmt.Sprintf("%v: sink %q: not drained: %d slices of %d streams left (%d in flight; %d streams resting, %d halted), oldest %v",
		e.Kind, e.Sink, e.Slices, e.Streams, e.InFlight, e.Resting, e.Halted, e.Oldest.Round(time.Millisecond))
	if e.Paused {
		s += ", paused"
	}
	if e.Cause != nil {
		s += ": last failure: " + e.Cause.Error()
	}
	return s
}

func (e *DrainError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Drain waits until all that was enqueued before it is acked and Acked has returned for it. Resting lanes and an open circuit try
// at once. It fails with *DrainError when ctx ends first, or as soon as nothing but halted lanes is left.
func (r *Router) Drain(ctx context.Context) error {
	r.mu.Lock()
	now := r.now()
	w := &drainer{gen: r.drain.open(0), done: make(chan struct{})}
	r.drain.next()
	r.drain.waiting = append(r.drain.waiting, w)
	for len(r.rests) > 0 {
		if e := r.rests.pop(); e.valid() {
			r.unrest(e.lane, now)
		}
	}
	if r.circuit.state == open {
		r.circuit.state = due
	}
	r.checkDrained()
	r.wake()
	r.mu.Unlock()

	kind := ErrHalted
	select {
	case <-w.done:
	case <-r.done:
		kind = ErrClosed
	case <-ctx.Done():
		kind = export.ErrTimeout
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range r.drain.waiting {
		if v == w {
			r.drain.waiting = append(r.drain.waiting[:i], r.drain.waiting[i+1:]...)
			break
		}
	}
	if r.drain.upTo(w.gen) == 0 {
		return nil
	}
	return r.report(kind)
}

// checkDrained wakes the Drains that have nothing left to wait for.
func (r *Router) checkDrained() {
	for i := 0; i < len(r.drain.waiting); i++ {
		w := r.drain.waiting[i]
		left := r.drain.upTo(w.gen)
		if left > r.haltedItems || left > r.haltedUpTo(w.gen) {
			continue
		}
		close(w.done)
		r.drain.waiting = append(r.drain.waiting[:i], r.drain.waiting[i+1:]...)
		i--
	}
}

// haltedUpTo counts the items of gen and earlier that halted lanes hold.
func (r *Router) haltedUpTo(gen uint64) (n int) {
	if r.haltedLane == 0 {
		return 0
	}
	for _, l := range r.lanes {
		if l.state != halted {
			continue
		}
		for it := l.head; it != nil; it = it.next {
			if it.gen <= gen {
				n++
			}
		}
	}
	return n
}

// report builds the DrainError. The caller holds the mutex.
func (r *Router) report(kind error) error {
	const sample = 8
	e := &DrainError{Sink: r.cfg.Sink.Name, Kind: kind, Slices: r.queued + r.inflight, InFlight: r.inflight, Resting: r.restingLanes,
		Halted: r.haltedLane, Paused: r.paused, Open: r.circuit.state != closed, Cause: r.lastErr}
	wall := time.Now()
	for s, l := range r.lanes {
		n := l.Len()
		if n == 0 {
			continue
		}
		e.Streams++
		p := Pending{Stream: s, Slices: n, State: l.state.String()}
		if l.head != nil {
			p.Seq = l.head.Seq
			e.Oldest = max(e.Oldest, wall.Sub(l.head.EnqueuedAt))
		}
		if l.trouble != nil {
			p.Err = l.trouble.err
		}
		switch {
		case len(e.Sample) < sample:
			e.Sample = append(e.Sample, p)
		case l.state == halted:
			for i := range e.Sample {
				if e.Sample[i].State != halted.String() {
					e.Sample[i] = p
					break
				}
			}
		}
		if l.state == halted {
			e.Cause = p.Err
		}
	}
	return e
}
