package lane

import (
	"time"
)

// circuit is the router's opinion of the sink as a whole.
//
//	closed ── TripAfter calls in a row without an ack, or a 503 with Retry-After ──> open
//	open ── the backoff is over ──> due ── a worker takes one slice ──> probing
//	probing ── no ack ──> open, longer          any state ── an ack ──> closed
type circuit struct {
	state   circuitState
	fails   int           // calls in a row without an ack
	attempt int           // probes that failed in a row
	until   time.Duration // when open: the next probe
	since   time.Duration // when it opened
	err     error
}

type circuitState uint8

const (
	closed circuitState = iota
	open
	due
	probing
)

// failCircuit counts a call that brought no ack.
func (r *Router) failCircuit(b *batch, now time.Duration) {
	c := &r.circuit
	c.fails++
	notReady := false
	for i := range b.runs {
		if w := &b.runs[i].why; b.runs[i].err != nil {
			c.err = b.runs[i].err
			notReady = notReady || w.status == 503 && w.retryAfter > 0
		}
	}
	switch {
	case b.probe && c.state == probing:
		c.attempt++
	case c.state != closed: // a call from before it opened
		c.until = max(c.until, now+b.retry)
		return
	case c.fails < r.cfg.TripAfter && !notReady:
		return
	default:
		c.since, c.attempt = now, 0
		err := c.err
		b.events = append(b.events, func() {
			r.cfg.Logger.Warn("sink does not answer", "sink", r.cfg.Sink.Name, "err", err)
			if h := r.cfg.Hooks.Circuit; h != nil {
				h(true, err)
			}
		})
	}
	c.state = open
	c.until = now + max(r.jitter(c.attempt), b.retry)
	r.watch(c.until)
}

// closeCircuit resumes after an ack: every lane that had failed with the whole sink may try again now.
func (r *Router) closeCircuit(b *batch, now time.Duration) {
	after := now - r.circuit.since
	r.circuit = circuit{}
	r.rests.keep(func(e rest) bool {
		if !e.valid() {
			return false
		}
		if !e.lane.trouble.sinkWide {
			return true
		}
		r.unrest(e.lane, now)
		return false
	})
	b.events = append(b.events, func() {
		r.cfg.Logger.Info("sink answers again", "sink", r.cfg.Sink.Name, "after", after)
		if h := r.cfg.Hooks.Circuit; h != nil {
			h(false, nil)
		}
	})
}

// jitter returns the wait after n+1 failures: full jitter, uniform between 0 (1 ms, to never spin) and min(Cap, Base·2^n). A lane
// keeps the count only, where a backoff object a lane would cost 100,000 of them.
func (r *Router) jitter(n int) time.Duration {
	d := r.cfg.Cap
	if n < 20 {
		d = min(d, r.cfg.Base<<n)
	}
	return max(r.random(d), time.Millisecond)
}

func (r *Router) random(d time.Duration) time.Duration {
	return time.Duration(r.rand.Int64N(int64(d) + 1))
}
