package pipeline

import (
	"errors"
	"runtime/pprof"
	"time"

	"github.com/ron-accounting/ron-accounting/shardmap"
)

// mostSleep bounds the ticker's sleep: a wall clock set back or forth is noticed within it.
const mostSleep = time.Second

// adoptLead is how long before a boundary new rows are taken into the orders, so that the seal has few left to take.
const adoptLead = 100 * time.Millisecond

var errClockJump = errors.New("accounting: the wall clock jumped by more than a window against the monotonic clock: sealing is held until two ticks agree")

// start launches the background work: the boundary ticker, the once-a-second figures, and with a WAL its upkeep.
func (p *Pipeline) start() {
	p.stop = make(chan struct{})
	p.done.Add(2)
	go p.tickLoop()
	go p.figuresLoop()
	if p.wal == nil {
		return
	}
	p.done.Add(1)
	go p.walLoop()
	if p.o.CheckpointInterval > 0 {
		p.done.Add(1)
		go p.checkpointLoop()
	}
	if len(p.waiting) > 0 {
		p.done.Add(1)
		go p.repairLoop()
	}
	p.sealMu.Lock()
	p.catchUp(nil) // what a crash left open is sealed at once
	p.sealMu.Unlock()
}

// stopTicker ends the background work and waits for it.
func (p *Pipeline) stopTicker() {
	if p.stop != nil {
		close(p.stop)
		p.done.Wait()
	}
}

func (p *Pipeline) tickLoop() {
	defer p.done.Done()
	pprof.SetGoroutineLabels(sealLabels)
	for {
		p.sealMu.Lock()
		sleep := p.roll.untilNext(p.o.Clock.Now(), mostSleep)
		p.sealMu.Unlock()
		t := time.NewTimer(sleep)
		select {
		case <-p.stop:
			t.Stop()
			return
		case <-t.C:
		}
		p.sealMu.Lock()
		p.s.ticking = true
		p.catchUp(nil)
		p.s.ticking = false
		p.sealMu.Unlock()
		p.adoptAhead()
	}
}

// catchUp reads the clock and seals the current window if it has ended. Under sealMu. A seal that fails leaves its counts open: they
// go with a later one.
func (p *Pipeline) catchUp(each func(*pending)) {
	now := p.o.Clock.Now()
	switch p.roll.tick(now, p.o.Clock.Monotonic()) {
	case tickHeld:
		p.metrics.Rollovers.WithLabelValues("held").Inc()
		p.ready.set(BoundaryTicker, errClockJump)
		p.log.Warn("clock jump: sealing held", "wall", now)
		return
	case tickAgain:
		p.metrics.Rollovers.WithLabelValues("skipped_dup").Inc()
	case tickRoll:
		p.rollover(now, each)
	}
	p.ready.set(BoundaryTicker, nil)
}

// rollover seals the window that ended and enters the one that now lies in.
func (p *Pipeline) rollover(now time.Time, each func(*pending)) {
	next := p.roll.at(now)
	span := window{p.roll.cur.start, next.start}
	mode := sealWindow
	if o := p.o.PeriodBoundary; o.of(span.start) != o.of(span.end) {
		mode = sealPeriod
		for o.of(span.start) != o.of(span.end-1) { // ticks were missed across a boundary: the counts go to the older period
			span.end -= p.seconds
		}
	}
	skew := now.Sub(time.Unix(int64(p.roll.cur.end), 0))
	p.roll.cur = next
	done, err := p.seal(span, mode, each)
	result := "ok"
	if err != nil {
		result = "error"
		p.log.Error("seal failed; the counters keep counting", "err", err)
	} else if done.kept.streams == 0 {
		p.stampCounters()
	}
	p.metrics.Rollovers.WithLabelValues(result).Inc()
	p.metrics.RolloverSkew.Observe(max(skew, 0).Seconds())
	if p.o.IdleWindows > 0 {
		if rep, err := p.m.Sweep(p.o.IdleWindows); err != nil {
			p.log.Warn("idle rows stay: no memory for a map without them", "err", err)
		} else if rep.Rebuilt {
			p.renumber(rep.Moves)
		}
	}
}

// figuresLoop computes the conservation figures once a second, samples Record's latency, and keeps the gauges.
func (p *Pipeline) figuresLoop() {
	defer p.done.Done()
	pprof.SetGoroutineLabels(sealLabels)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		p.sealMu.Lock()
		p.publish()
		p.sealMu.Unlock()
		p.probeRecord()
	}
}

// probeRecord times a batch of calls of the hot path on a key in use, adding nothing: the latency that a host's Record sees now.
func (p *Pipeline) probeRecord() {
	const batch = 64
	p.sealMu.Lock()
	k := p.s.probe
	p.sealMu.Unlock()
	if p.m.Add(&k, 0) != shardmap.OK {
		return // nothing was counted yet, or that row was evicted
	}
	start := time.Now()
	for range batch {
		p.m.Add(&k, 0)
	}
	p.metrics.RecordLatency.Observe(time.Since(start).Seconds() / batch)
}
