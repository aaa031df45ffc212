package lane

import "time"

// stuckAfter times OpDeadline is when a call that ignores its deadline is reported.
const stuckAfter = 2

// rest is a resting lane in the heap of wake-up times. A lane that left the resting state meanwhile leaves its entry behind.
type rest struct {
	at   time.Duration
	lane *Lane
}

func (e rest) valid() bool {
	return e.lane.state == resting && e.lane.trouble != nil && e.lane.trouble.until == e.at
}

// rests is a binary heap by time. Written out: container/heap would box every entry.
type rests []rest

func (h *rests) push(e rest) {
	a := append(*h, e)
	i := len(a) - 1
	for i > 0 {
		p := (i - 1) / 2
		if a[p].at <= e.at {
			break
		}
		a[i] = a[p]
		i = p
	}
	a[i] = e
	*h = a
}

func (h *rests) pop() rest {
	a := *h
	top := a[0]
	n := len(a) - 1
	a[0], a[n] = a[n], rest{}
	*h = a[:n]
	(*h).down(0)
	return top
}

func (h rests) down(i int) {
	if len(h) == 0 {
		return
	}
	e := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].at < h[c].at {
			c++
		}
		if h[c].at >= e.at {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = e
}

// keep drops the entries that f is false for.
func (h *rests) keep(f func(rest) bool) {
	kept := (*h)[:0]
	for _, e := range *h {
		if f(e) {
			kept = append(kept, e)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
	for i := len(kept)/2 - 1; i >= 0; i-- {
		kept.down(i)
	}
}

// unrest makes a resting lane ready.
func (r *Router) unrest(l *Lane, now time.Duration) {
	r.restingLanes--
	l.unblock(now)
	r.push(l)
}

// watch sees to it that the timekeeper looks at the latest at t.
func (r *Router) watch(t time.Duration) {
	if r.watching != 0 && r.watching <= t {
		return
	}
	r.watching = t
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// keepTime wakes resting lanes, lets the circuit probe, and reports calls that ignore their deadline.
func (r *Router) keepTime() {
	defer r.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, ok := r.tick()
		if !ok {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-r.kick:
		}
	}
}

// tick does what is due and says when to look again; false after Close.
func (r *Router) tick() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return 0, false
	}
	now := r.now()
	for len(r.rests) > 0 && r.rests[0].at <= now {
		if e := r.rests.pop(); e.valid() {
			r.unrest(e.lane, now)
		}
	}
	if r.circuit.state == open && r.circuit.until <= now {
		r.circuit.state = due
	}
	r.wake()
	next := now + time.Hour
	if len(r.rests) > 0 {
		next = min(next, r.rests[0].at)
	}
	if r.circuit.state == open {
		next = min(next, r.circuit.until)
	}
	for i := range r.calls {
		c := &r.calls[i]
		if !c.busy || c.warned {
			continue
		}
		if late := c.began + stuckAfter*r.cfg.OpDeadline; late > now {
			next = min(next, late)
			continue
		}
		c.warned = true
		r.stuck++
		r.cfg.Logger.Error("exporter ignores its deadline", "sink", r.cfg.Sink.Name, "since", now-c.began)
	}
	r.watching = next
	return next - now, true
}
