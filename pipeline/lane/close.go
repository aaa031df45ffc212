package lane

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// closeGrace is how long an exporter may take to return after its context was cancelled.
const closeGrace = 5 * time.Second

// Close ends the router: no call starts any more, those in flight may end until ctx does and are then cancelled. What
// is left stays queued (Left); Drain first to get it out. When Close returns nil or *DrainError no goroutine of the router
// runs; any other error says that an exporter does not return even when cancelled.
func (r *Router) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closing = true
	r.work.Broadcast()
	select {
	case r.kick <- struct{}{}:
	default:
	}
	r.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		r.cancel()
		grace := time.NewTimer(closeGrace)
		defer grace.Stop()
		select {
		case <-r.done:
		case <-grace.C:
			return fmt.Errorf("%w: sink %q: the exporter does not return %v after it was cancelled", export.ErrTimeout, r.cfg.Sink.Name, closeGrace)
		}
	}
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queued+r.inflight > 0 {
		return r.report(ErrClosed)
	}
	return nil
}

// Left returns the items that were not acked, in order within each lane. Only after Close.
func (r *Router) Left() iter.Seq[*Item] {
	return func(yield func(*Item) bool) {
		for _, l := range r.lanes {
			for it := l.head; it != nil; it = it.next {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// Stats is a router's state at one moment.
type Stats struct {
	Lanes, Ready, InFlight, Resting, Halted int           // lanes, by state; the rest is idle
	Queued                                  int           // slices, not in a call
	Putting                                 int           // slices in calls
	Calls, Stuck                            int           // calls in flight; those past twice their deadline
	BatchLimit                              int           // slices a call may carry now
	Open                                    bool          // the circuit
	OpenFor                                 time.Duration // since when
	Paused                                  bool
	Err                                     error // the last failure
}

// Stats returns the router's state. It costs one lock and no walk.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{Lanes: len(r.lanes), Ready: r.readyLanes, InFlight: r.inflightLanes, Resting: r.restingLanes, Halted: r.haltedLane,
		Queued: r.queued, Putting: r.inflight, Stuck: r.stuck, BatchLimit: r.limit.now, Open: r.circuit.state != closed, Paused: r.paused, Err: r.lastErr}
	for i := range r.calls {
		if r.calls[i].busy {
			s.Calls++
		}
	}
	if s.Open {
		s.OpenFor = r.now() - r.circuit.since
	}
	return s
}
