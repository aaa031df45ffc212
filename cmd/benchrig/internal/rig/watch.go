package rig

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// eventCapacity holds the events of a window until they are read: a seal commits all its streams at once.
func eventCapacity(streams int) int { return min(1<<15, max(256, streams+streams/4)) }

// exports measures each slice's way from the commit to the first ack, by the recorder's events.
type exports struct {
	events *pipeline.Events
	tell   func(time.Duration)
	sealed map[export.Stream][]mark // committed, not acked, by seq
	all    *hdrhistogram.Histogram  // nanoseconds, the whole run
	stop   chan struct{}
	done   chan struct{}

	mu     sync.Mutex              // guards recent
	recent *hdrhistogram.Histogram // since the last take
}

type mark struct {
	seq uint64
	at  time.Time
}

func watchExports(events *pipeline.Events, tell func(time.Duration)) *exports {
	e := &exports{
		events: events, tell: tell, sealed: map[export.Stream][]mark{},
		all: hdrhistogram.New(1, int64(time.Hour), 2), recent: hdrhistogram.New(1, int64(time.Hour), 2),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go e.run()
	return e
}

func (e *exports) run() {
	defer close(e.done)
	for {
		for ev, ok := e.events.Next(); ok; ev, ok = e.events.Next() {
			e.enter(ev)
		}
		select {
		case <-e.events.Ready():
		case <-e.stop:
			for ev, ok := e.events.Next(); ok; ev, ok = e.events.Next() {
				e.enter(ev)
			}
			return
		}
	}
}

func (e *exports) enter(ev pipeline.Event) {
	waiting := e.sealed[ev.Stream]
	if ev.Kind == pipeline.SliceSealed {
		e.sealed[ev.Stream] = append(waiting, mark{ev.Seq, ev.At})
		return
	}
	for len(waiting) > 0 && waiting[0].seq < ev.Seq { // its ack was dropped by the full queue
		waiting = waiting[1:]
	}
	if len(waiting) > 0 && waiting[0].seq == ev.Seq {
		d := min(max(1, int64(ev.At.Sub(waiting[0].at))), int64(time.Hour))
		e.tell(time.Duration(d))
		_ = e.all.RecordValue(d)
		e.mu.Lock()
		_ = e.recent.RecordValue(d)
		e.mu.Unlock()
		waiting = append(waiting[:0], waiting[1:]...)
	}
	e.sealed[ev.Stream] = waiting
}

// recentP99 is the 99th percentile in milliseconds of what was acked since the last call.
func (e *exports) recentP99() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := float64(e.recent.ValueAtQuantile(99)) / 1e6
	e.recent.Reset()
	return v
}

// close ends the watch and returns the whole run's latencies.
func (e *exports) close() *hdrhistogram.Histogram {
	close(e.stop)
	<-e.done
	return e.all
}

// readiness measures the time without readiness.
type readiness struct {
	ask      func() pipeline.Readiness
	mu       sync.Mutex // guards what follows
	since    time.Time  // of the current outage; zero while ready
	total    time.Duration
	longest  time.Duration
	missing  map[pipeline.ReadyKey]bool
	stop     chan struct{}
	finished chan struct{}
}

// readyPoll is how often readiness is asked for: the resolution of the degraded figures.
const readyPoll = 50 * time.Millisecond

func watchReadiness(ask func() pipeline.Readiness) *readiness {
	r := &readiness{ask: ask, missing: map[pipeline.ReadyKey]bool{}, stop: make(chan struct{}), finished: make(chan struct{})}
	go func() {
		defer close(r.finished)
		t := time.NewTicker(readyPoll)
		defer t.Stop()
		for {
			select {
			case now := <-t.C:
				r.note(now, r.ask())
			case <-r.stop:
				r.note(time.Now(), pipeline.Readiness{Ready: true})
				return
			}
		}
	}()
	return r
}

func (r *readiness) note(now time.Time, is pipeline.Readiness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range is.Missing {
		r.missing[k] = true
	}
	switch {
	case is.Ready && !r.since.IsZero():
		d := now.Sub(r.since)
		r.total += d
		r.longest = max(r.longest, d)
		r.since = time.Time{}
	case !is.Ready && r.since.IsZero():
		r.since = now
	}
}

func (r *readiness) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since.IsZero()
}

// close ends the watch and returns the total and the longest time without readiness, and what was missing.
func (r *readiness) close() (total, longest time.Duration, missing []pipeline.ReadyKey) {
	close(r.stop)
	<-r.finished
	for k := range r.missing {
		missing = append(missing, k)
	}
	return r.total, r.longest, missing
}
