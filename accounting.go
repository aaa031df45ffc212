package accounting

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/shardmap"
)

// Recorder counts usage and sees to it that the counts reach the ledger. All methods may be called from any goroutine.
type Recorder struct {
	m *shardmap.Wide
	p *pipeline.Pipeline
}

// Open validates o (reporting every fault at once), recovers what an earlier run left, and starts the background work: sealing at
// each window boundary and export to o.Sinks. Close ends it.
func Open(o Options) (*Recorder, error) { return wrap(pipeline.Open(o)) }

// New makes a recorder without background work and without sinks: the host calls SealNow and takes what it returns.
func New(o Options) (*Recorder, error) { return wrap(pipeline.New(o)) }

func wrap(p *pipeline.Pipeline, err error) (*Recorder, error) {
	if err != nil {
		return nil, err
	}
	m := p.Map()
	m.OnMiss(func(k shardmap.WideKey, n uint64) error {
		return p.RecordSlow(&Key{Tenant: k.Tenant, Subject: k.Subject, Namespace: k.Namespace, Dimension: Dimension(k.Dimension)}, n)
	})
	m.OnRefused(func(k shardmap.WideKey, n uint64) { p.HandleRefused(Dimension(k.Dimension), n) })
	return &Recorder{m: m, p: p}, nil
}

// Record adds n units to k's counter. It is the hot path: lock-free, without allocation or I/O for a key that was seen before. n = 0 does nothing.
// What returned nil is in exactly one slice, or still open. The error is ErrBusy where k or its stream is new and there is no room, ErrClosed after
// Close, or ErrSchema for a dimension that Options does not name; nothing was counted then.
//
// It is small enough to be inlined, so that k is not copied twice on its way to the map: a second copy of 40 bytes just
// written costs more than the rest of the call.
func (r *Recorder) Record(k Key, n uint64) error { return r.m.Record(k.Wide(), n) }

// Counter returns a bound handle to k's counter, with Record's errors. A handle holds k's row from eviction no more than Record does.
func (r *Recorder) Counter(k Key) (Counter, error) {
	c, err := r.p.Handle(&k)
	if err != nil {
		return Counter{}, err
	}
	return Counter{c}, nil
}

// SealNow seals what is open under the current window's bounds; later slices may repeat them. The slices own their bytes. With New
// they are handed over and count as acked; with Open they are exported too.
func (r *Recorder) SealNow(ctx context.Context) ([]SealedSlice, error) { return r.p.SealNow(ctx) }

// Flush seals, then waits until all that was sealed is acked by every required sink, or ctx ends; then the error is a *DrainError.
// With New only SealNow hands slices over: what Flush sealed comes with the next one, and Flush returns the *DrainError at once.
func (r *Recorder) Flush(ctx context.Context) error { return r.p.Flush(ctx) }

// Close stops the intake, seals, and drains until ctx or Options.DrainDeadline ends; a *DrainError says what stays pending.
// It leaves no goroutine behind. A second Close returns ErrClosed. With New call SealNow first: slices that Close seals are pending (with a WAL
// the next run's SealNow hands them over; without one they end with the process), and the *DrainError says how many.
func (r *Recorder) Close(ctx context.Context) error { return r.p.Close(ctx) }

// Readiness says whether the pipeline does all of its work, and what is amiss.
func (r *Recorder) Readiness() Readiness { return r.p.Readiness() }

// Stats returns the conservation figures as of now. It costs a pass over the counters; the metrics do so once a second.
func (r *Recorder) Stats() Stats { return r.p.Stats() }

// Collector returns every metric of this recorder, for the host to register. Two recorders in one registry need distinguishing labels
// (prometheus.WrapRegistererWith).
func (r *Recorder) Collector() prometheus.Collector { return r.p.Metrics() }

// Tune changes what may change while the recorder runs: fairness, backoff and deadlines; and it serves lanes again that a sink had
// halted, so that no restart is needed once the sink is mended. It may be called from any goroutine.
func (r *Recorder) Tune(t Tuning) error { return r.p.Tune(t) }
