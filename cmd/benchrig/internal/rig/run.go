package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/load"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/proc"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// Hooks are what a run tells while it goes on. Each may be nil.
type Hooks struct {
	Tick  func(View)   // once a second, from one goroutine
	Phase func(string) // what it does now, for people
	Say   func(string) // what people need to know for as long as it runs
	// Load is called when the load is about to begin; what it returns is called when the load has ended, before anything is closed.
	Load func() (ended func(*result.Result) error, err error)
	// Stage is told how long a stage took, during the load, from any goroutine: record is a batch of 64 calls, seal one seal of all streams (told within
	// a second), wal one fsync, export a slice's way from commit to ack.
	Stage  func(stage.Stage, time.Duration)
	Logger *slog.Logger // the recorder's
}

// View is the state of a run at one second.
type View struct {
	result.Point
	Workload string
	Length   time.Duration // of the whole run
	Rows     uint64        // so far
	Record   result.Quantiles
	Lag      result.Quantiles
	Missing  []pipeline.ReadyKey
}

// A session is one run's moving parts.
type session struct {
	set      *Settings
	hooks    Hooks
	dir      string
	sink     *sink
	rec      *accounting.Recorder
	registry *prometheus.Registry
	fs       *timedFS
	exports  *exports
	ready    *readiness
	meter    *meter
	loading  atomic.Bool
	res      *result.Result
}

// Run runs the workload once. ctx ends it early: what was recorded until then is drained and proved all the same.
// The error is about the rig; what the run found out is in the result.
func Run(ctx context.Context, set *Settings, hooks Hooks) (res *result.Result, err error) {
	if hooks.Phase == nil {
		hooks.Phase = func(string) {}
	}
	if hooks.Say == nil {
		hooks.Say = func(string) {}
	}
	if hooks.Tick == nil {
		hooks.Tick = func(View) {}
	}
	s := &session{set: set, hooks: hooks, res: newResult(set)}
	defer tightenHeap()()
	hooks.Phase("measuring the load generator without a recorder")
	perRow := calibrate(ctx, set)

	cleanup, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cleanup()) }()

	if !set.Cold {
		hooks.Phase("making the keys: service levels are for the steady state")
		if err := s.warm(); err != nil {
			return nil, err
		}
	}
	if err := s.hot(); err != nil {
		return nil, err
	}
	if !set.Cold { // the first seal sorts every key and faults its memory in: that is no steady state either
		settle, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_ = s.rec.Flush(settle) // a ledger that is away, by --chaos, is the run's business
		cancel()
	}
	hooks.Phase("running")
	ended := func(*result.Result) error { return nil }
	if hooks.Load != nil {
		if ended, err = hooks.Load(); err != nil {
			return nil, err
		}
	}
	var refused *refusals
	if c := set.Chaos; c.Oversize || c.Ratio {
		if refused, err = startRefusals(c.Oversize, c.Ratio); err != nil {
			return nil, err
		}
	}
	l := s.offer(ctx)
	if n := l.Missed(); n > 0 {
		return nil, fmt.Errorf("rate: %v rows/s for %v is more than can be offered here: %d rows were not by %v; want less, or --rate max", set.Spec.Rate, set.Duration, n, l.Elapsed().Round(time.Second))
	}
	if refused != nil {
		s.res.Refused = refused.close()
	}
	if err := ended(s.res); err != nil {
		return nil, err
	}
	s.cost(l, perRow)

	hooks.Phase("sealing what is open and waiting for the ledger")
	drainErr := s.drain()
	s.collect(l)

	hooks.Phase("reading the ledger back")
	if err := s.prove(l); err != nil {
		return nil, err
	}
	if drainErr != nil {
		s.note("not drained: %v", drainErr)
	}
	s.res.Judge(set.chaotic())
	if r := s.res.Refused; r != nil && (r.Wrong > 0 || r.Oversize+r.Ratio == 0) {
		s.res.Pass = false
		s.note("%d requests were not refused with 413, as they must be", r.Wrong)
	}
	return s.res, nil
}

func newResult(set *Settings) *result.Result {
	r := &result.Result{
		Schema: 1, Workload: set.Spec.Name, Profile: set.Profile, Seed: set.Spec.Seed, Config: set.Asked(),
		Host: proc.ThisHost(cpufeat.Selected().String()),
	}
	r.Record.Rejected = map[string]uint64{}
	r.Export.Retries = map[string]uint64{}
	r.Conservation.Order = []string{}
	return r
}

func (s *session) note(format string, args ...any) {
	s.res.Notes = append(s.res.Notes, fmt.Sprintf(format, args...))
}

// calibrations is how often the generator's own cost is measured.
const calibrations = 4

// calibrate offers the same load to a target that does nothing and returns the CPU time that a row costs, in picoseconds: the least of several
// measurements, as what disturbed one would be taken off the recorder's cost.
func calibrate(ctx context.Context, set *Settings) (least time.Duration) {
	length := min(time.Second, set.Duration/4) / calibrations
	for range calibrations {
		before := proc.CPU()
		l := load.Start(ctx, load.Options{Spec: set.Spec, Producers: set.Producers, Duration: length, Max: set.Max}, load.Idle{})
		<-l.Done()
		sample := load.NewSample()
		l.Take(sample)
		spent := proc.CPU() - before
		if sample.Rows == 0 {
			continue
		}
		if perRow := spent * 1000 / time.Duration(sample.Rows); least == 0 || perRow < least {
			least = perRow
		}
	}
	return least
}

// warm makes every key of the workload without counting anything.
func (s *session) warm() error {
	gen := workload.NewGenerator(s.set.Spec, 0, 1)
	for i := range s.set.Spec.Total() {
		if _, err := s.rec.Counter(gen.Key(uint32(i))); err != nil {
			return fmt.Errorf("making key %d: %w", i, err)
		}
	}
	return nil
}

// hot counts hotCalls units on the first key in hotRounds rounds.
const hotCalls, hotRounds = 1 << 18, 64

// hot times Record as the specification's target has it: one thread, one key, everything in the cache. The median of the rounds is what a call takes;
// their mean would be what else the machine did: a round is 30 µs, one loss of the processor some milliseconds.
func (s *session) hot() error {
	key := workload.NewGenerator(s.set.Spec, 0, 1).Key(0)
	rounds := make([]time.Duration, hotRounds)
	for r := range rounds {
		start := time.Now()
		for range hotCalls / hotRounds {
			if err := s.rec.Record(key, 1); err != nil {
				return err
			}
		}
		rounds[r] = time.Since(start)
	}
	slices.Sort(rounds)
	s.res.Record.HotNS = result.Round(float64(rounds[hotRounds/2]) * hotRounds / hotCalls)
	return nil
}

// target hands batches to the recorder.
type target struct{ rec *accounting.Recorder }

func (t target) RecordBatch(b *workload.Batch) {
	for i := range b.N {
		if err := t.rec.Record(b.Keys[i], b.Incs[i]); err != nil {
			b.Reject(i, err)
		}
	}
}

// timed tells how long each batch took.
type timed struct {
	load.Target
	tell func(time.Duration)
}

func (t timed) RecordBatch(b *workload.Batch) {
	start := time.Now()
	t.Target.RecordBatch(b)
	t.tell(time.Since(start))
}

// stage returns what tells the hook of st's durations while the load runs.
func (s *session) stage(st stage.Stage) func(time.Duration) {
	return func(took time.Duration) {
		if s.hooks.Stage != nil && s.loading.Load() {
			s.hooks.Stage(st, took)
		}
	}
}

// offer runs the load and watches it until it ends.
func (s *session) offer(ctx context.Context) *load.Load {
	runtime.GC()
	debug.FreeOSMemory() // what the calibration used is not the recorder's
	proc.ResetPeak()
	s.meter = newMeter(s)
	var to load.Target = target{s.rec}
	if s.set.bend != nil {
		to = s.set.bend(to)
	}
	if s.hooks.Stage != nil {
		to = timed{to, s.stage(stage.Record)}
	}
	s.loading.Store(true)
	defer s.loading.Store(false)
	l := load.Start(ctx, load.Options{Spec: s.set.Spec, Producers: s.set.Producers, Duration: s.set.Duration, Max: s.set.Max}, to)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.meter.tick(l, true)
		case <-l.Done():
			s.meter.tick(l, false)
			return l
		}
	}
}

// cost enters what the run cost in CPU time; the generator's share is perRow (picoseconds) for each row.
func (s *session) cost(l *load.Load, perRow time.Duration) {
	all, rows := s.meter.cpu(), s.meter.total.Rows
	gen := min(perRow*time.Duration(rows)/1000, all)
	wall := l.Elapsed()
	s.res.CPU = result.CPU{
		Core:      100 * float64(all-gen) / float64(wall),
		Generator: 100 * float64(gen) / float64(wall),
	}
	if rows > 0 {
		s.res.CPU.PerRow = float64(all-gen) / float64(rows)
	}
	s.res.DurationS = wall.Seconds()
	s.res.Rate.Achieved = float64(rows) / wall.Seconds()
	if !s.set.Max {
		s.res.Rate.Offered = float64(s.set.Spec.Rows(s.set.Duration)) / s.set.Duration.Seconds()
	}
}
