package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// Target takes batches: it calls Record for each row, and b.Reject where that fails.
type Target interface {
	RecordBatch(b *workload.Batch)
}

// Idle is the target of a calibration: it takes everything and does nothing.
type Idle struct{}

// RecordBatch does nothing.
func (Idle) RecordBatch(*workload.Batch) {}

// Sample is what producers measured over some time. Histograms are in nanoseconds; Batch is of whole batches.
type Sample struct {
	Rows  uint64
	Busy  time.Duration // in Record calls
	Batch *hdrhistogram.Histogram
	Lag   *hdrhistogram.Histogram
}

// NewSample returns an empty one: two digits (1 %), up to a minute; a third would cost eight times the memory.
func NewSample() *Sample {
	return &Sample{Batch: newHist(), Lag: newHist()}
}

func newHist() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(time.Minute), 2) }

// Merge adds o to s.
func (s *Sample) Merge(o *Sample) {
	s.Rows += o.Rows
	s.Busy += o.Busy
	s.Batch.Merge(o.Batch)
	s.Lag.Merge(o.Lag)
}

// Reset empties s.
func (s *Sample) Reset() {
	s.Rows, s.Busy = 0, 0
	s.Batch.Reset()
	s.Lag.Reset()
}

// producer is one goroutine's share of the load. totals and errors are its own until it ends;
// sample is swapped by the reader under mu.
type producer struct {
	gen    *workload.Generator
	spec   workload.Spec
	first  uint64 // the number of its first row among all rows
	step   uint64 // how many producers share the rows
	max    bool   // no schedule: as fast as the target takes it
	stop   *atomic.Bool
	totals []uint64 // by key number: what the target accepted; where shared is nil
	shared *totals
	errors map[string]uint64
	missed uint64 // rows that were due and never offered: it was overdue by too much

	mu     sync.Mutex
	sample *Sample
}

// overdue is how much longer than twice its length a load may take: a stalled target is caught up with.
const overdue = 30 * time.Second

// sleepCap bounds a sleep, so that a slow schedule notices an interrupt.
const sleepCap = 50 * time.Millisecond

// run offers every row that is due before end. It returns early when stop is set.
func (p *producer) run(target Target, start time.Time, length time.Duration, rows uint64) {
	stage.Enter(stage.Record) // for a profile taken meanwhile
	var b workload.Batch
	done := uint64(0)
	for !p.stop.Load() {
		n, lag := workload.BatchSize, time.Duration(0)
		if p.max {
			if time.Since(start) >= length {
				return
			}
		} else {
			if done >= rows {
				p.wait(start, length) // the quiet end of a burst's period is part of the load
				return
			}
			n = int(min(uint64(n), rows-done))
			due := p.spec.Due(p.first + done*p.step)
			if !p.wait(start, due) {
				return
			}
			now := time.Since(start)
			if now > 2*length+overdue { // a rate that the machine can't give would never end
				p.missed = rows - done
				return
			}
			lag = max(0, now-due)
		}
		p.gen.Fill(&b, n)
		t0 := time.Now()
		target.RecordBatch(&b)
		p.account(&b, time.Since(t0), lag)
		done += uint64(n)
	}
}

// wait sleeps until due; false means stop.
func (p *producer) wait(start time.Time, due time.Duration) bool {
	for {
		early := due - time.Since(start)
		if early <= 0 {
			return true
		}
		time.Sleep(min(early, sleepCap))
		if p.stop.Load() {
			return false
		}
	}
}

// account adds a batch to the totals and to the sample.
func (p *producer) account(b *workload.Batch, took, lag time.Duration) {
	ok := b.N - b.Failed
	if b.Failed > 0 {
		for i := range b.N {
			if err := b.Errs[i]; err != nil {
				p.errors[err.Error()]++
				b.Errs[i], b.Incs[i] = nil, 0
			}
		}
	}
	if p.shared != nil {
		for i := range b.N {
			p.shared.add(b.Index[i], b.Incs[i])
		}
	} else {
		for i := range b.N {
			p.totals[b.Index[i]] += b.Incs[i]
		}
	}
	p.mu.Lock()
	s := p.sample
	s.Rows += uint64(ok)
	s.Busy += took
	// A batch cut short by the end of the schedule counts as if it had been whole.
	_ = s.Batch.RecordValue(min(int64(took)*workload.BatchSize/int64(b.N), int64(time.Minute)))
	_ = s.Lag.RecordValue(min(max(1, int64(lag)), int64(time.Minute)))
	p.mu.Unlock()
}
