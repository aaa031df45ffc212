package lane

import (
	"time"
)

// settle takes a finished batch back: lanes become ready, resting, halted or idle; the circuit and the batch limit learn.
// The hooks that this brings about are left in b.events for the worker to call without the mutex.
func (r *Router) settle(b *batch, c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if c.warned {
		r.stuck--
	}
	*c = call{}
	cut := r.ctx.Err() != nil
	i := 0
	for j := range b.runs {
		run := &b.runs[j]
		left := b.items[i+run.done : i+run.n]
		i += run.n
		l := run.lane
		l.unblock(now)
		r.inflight -= run.n
		r.inflightLanes--
		if run.done > 0 {
			l.trouble, l.solo = nil, false
			if !run.old {
				l.acked, l.tip, l.hasAcked = run.seq, run.tip, true
			}
		}
		l.prepend(left)
		r.queued += len(left)
		switch {
		case l.head == nil:
			l.state = idle
		case run.err == nil || cut:
			r.push(l)
		case run.why.class == Halt:
			r.halt(b, run)
		default:
			r.fail(b, run, now)
		}
	}
	for _, t := range b.gens {
		r.drain.sub(t.gen, t.n)
	}
	if !cut && len(b.sent) > 0 {
		r.learn(b, now)
	} else if b.probe {
		r.circuit.state = due // nothing was asked: the next one probes
	}
	r.checkDrained()
	r.wake()
}

// halt takes a lane out of service, loudly.
func (r *Router) halt(b *batch, run *run) {
	l, err, seq := run.lane, run.err, run.lane.head.Seq
	l.state = halted
	r.lastErr = err
	l.trouble = &trouble{attempts: 1, err: err}
	r.haltedLane++
	r.haltedItems += int(l.n.Load())
	b.events = append(b.events, func() {
		r.cfg.Logger.Error("lane halted", "sink", r.cfg.Sink.Name, "stream", l.String(), "seq", seq, "err", err)
		if h := r.cfg.Hooks.Halted; h != nil {
			h(l, seq, err)
		}
	})
}

// unhalt undoes halt's counting; the caller sets the state.
func (r *Router) unhalt(l *Lane) {
	r.haltedLane--
	r.haltedItems -= int(l.n.Load())
}

// fail puts a lane to rest: by backoff within an operation, longer when the operation has had its time.
func (r *Router) fail(b *batch, run *run, now time.Duration) {
	l := run.lane
	t := l.trouble
	if t == nil {
		t = &trouble{since: b.began}
		l.trouble = t
	}
	t.attempts++
	t.err = run.err
	t.sinkWide = !b.alive && run.why.retryAfter == 0
	r.lastErr = run.err
	if solo := run.why.class == Fail && len(b.sent) == 1; solo != l.solo {
		l.solo = solo
		r.limit.ceiling = 0 // that explains it: large batches may do again
	}
	d := r.jitter(t.attempts - 1)
	if now-t.since >= r.cfg.OpDeadline {
		d = r.cfg.Rest/2 + r.random(r.cfg.Rest/2)
		t.since = now + d
		r.rested(b, l, t.err)
	}
	t.until = now + max(d, run.why.retryAfter)
	l.state = resting
	l.block(now)
	r.restingLanes++
	r.rests.push(rest{t.until, l})
	r.watch(t.until)
}

func (r *Router) rested(b *batch, l *Lane, err error) {
	if n, ok := r.restLog.ok(r.now()); ok {
		b.events = append(b.events, func() {
			r.cfg.Logger.Warn("lane rests", "sink", r.cfg.Sink.Name, "stream", l.String(), "err", err, "more_since_last", n)
		})
	}
	if h := r.cfg.Hooks.Rested; h != nil {
		b.events = append(b.events, func() { h(l, err) })
	}
}

// learn draws what the call says about the sink as a whole.
func (r *Router) learn(b *batch, now time.Duration) {
	if b.alive {
		r.circuit.fails = 0
		if !b.size && len(b.sent) >= r.limit.now {
			r.limit.passed()
		}
		if r.circuit.state != closed {
			r.closeCircuit(b, now)
		}
		return
	}
	if b.size && len(b.sent) > 1 {
		r.limit.failed(len(b.sent))
	}
	r.failCircuit(b, now)
}

// limit is how many slices a call may carry: half of what was too much, doubled again while full calls pass. Near the size that
// failed last it waits for calm full calls first, so that a sink with a hard limit refuses one call in that many.
type limit struct {
	now, most int
	ceiling   int // size that failed last; 0: none
	passes    int // full calls since
}

const calm = 64

func (l *limit) failed(size int) {
	l.ceiling, l.passes = size, 0
	l.now = max(min(l.now, size)/2, 1)
}

func (l *limit) passed() {
	if l.now >= l.ceiling {
		l.ceiling = 0
	}
	if l.passes++; l.ceiling == 0 || 2*l.now < l.ceiling || l.passes >= calm {
		l.now, l.passes = min(2*l.now, l.most), 0
	}
}

// sampled lets one log line a second pass and counts the rest.
type sampled struct {
	next time.Duration
	held int
}

func (s *sampled) ok(now time.Duration) (held int, ok bool) {
	if now < s.next {
		s.held++
		return 0, false
	}
	held, s.held, s.next = s.held, 0, now+time.Second
	return held, true
}
