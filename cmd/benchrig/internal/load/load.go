package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

// Options says how a workload is offered.
type Options struct {
	Spec      workload.Spec
	Producers int
	Duration  time.Duration
	Max       bool // as fast as the target takes it, without a schedule
}

// Load is a running load.
type Load struct {
	opt       Options
	producers []*producer
	shared    *totals // all producers add to them; nil where each has its own
	spare     []*Sample
	started   time.Time
	ended     atomic.Int64 // nanoseconds from start to the end of the last producer; 0 while running
	done      chan struct{}
}

// Start begins to offer the workload to target. It ends after Options.Duration or with ctx.
func Start(ctx context.Context, opt Options, target Target) *Load {
	l := &Load{opt: opt, done: make(chan struct{})}
	stop := new(atomic.Bool)
	if !opt.Max { // at a given rate the lines hardly meet, and memory is measured, too
		l.shared = newTotals(opt.Spec.Total())
	}
	for i := range opt.Producers {
		var own []uint64
		if opt.Max {
			own = make([]uint64, opt.Spec.Total())
		}
		l.producers = append(l.producers, &producer{
			gen:   workload.NewGenerator(opt.Spec, i, opt.Producers),
			spec:  opt.Spec,
			first: uint64(i), step: uint64(opt.Producers),
			max: opt.Max, stop: stop,
			totals: own, shared: l.shared,
			errors: map[string]uint64{},
			sample: NewSample(),
		})
		l.spare = append(l.spare, NewSample())
	}
	rows := opt.Spec.Rows(opt.Duration)
	unhook := context.AfterFunc(ctx, func() { stop.Store(true) })
	var wg sync.WaitGroup
	l.started = time.Now()
	for i, p := range l.producers {
		share := rows / uint64(opt.Producers)
		if uint64(i) < rows%uint64(opt.Producers) {
			share++
		}
		wg.Go(func() { p.run(target, l.started, opt.Duration, share) })
	}
	go func() {
		wg.Wait()
		unhook()
		l.ended.Store(int64(time.Since(l.started)))
		close(l.done)
	}()
	return l
}

// Done is closed when every producer has ended.
func (l *Load) Done() <-chan struct{} { return l.done }

// Elapsed is the time since the start, or the length of the load once it has ended.
func (l *Load) Elapsed() time.Duration {
	if e := l.ended.Load(); e > 0 {
		return time.Duration(e)
	}
	return time.Since(l.started)
}

// Take adds to into what was measured since the last Take, over all producers. One reader at a time.
func (l *Load) Take(into *Sample) {
	for i, p := range l.producers {
		l.spare[i].Reset()
		p.mu.Lock()
		p.sample, l.spare[i] = l.spare[i], p.sample
		p.mu.Unlock()
		into.Merge(l.spare[i])
	}
}

// Totals returns the units accepted per key number, summed over the producers. Only after Done; it is the caller's then.
func (l *Load) Totals() []uint64 {
	sum := make([]uint64, l.opt.Spec.Total())
	if l.shared != nil {
		l.shared.addTo(sum)
	}
	for _, p := range l.producers {
		for i, u := range p.totals {
			sum[i] += u
		}
	}
	return sum
}

// Missed returns how many rows were never offered, because the load took far longer than it should. Only after Done.
func (l *Load) Missed() (rows uint64) {
	for _, p := range l.producers {
		rows += p.missed
	}
	return rows
}

// Rejected returns how many rows were refused, by the text of the error. Only after Done.
func (l *Load) Rejected() map[string]uint64 {
	sum := map[string]uint64{}
	for _, p := range l.producers {
		for text, n := range p.errors {
			sum[text] += n
		}
	}
	return sum
}
