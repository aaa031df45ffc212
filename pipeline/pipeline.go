package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/shardmap"
)

// Pipeline seals a shard map's counters at each window and sees the slices to their sinks. All exported methods may be called from any goroutine.
type Pipeline struct {
	o       Options
	dims    []string // names by Dimension
	seconds uint64   // the window's length
	m       *shardmap.Wide
	streams *streamTable
	books   *books
	metrics *Metrics
	ready   *readiness
	writer  canon.ID
	log     *slog.Logger
	wal     *wal.Log // nil: none
	routers []*lane.Router
	durable
	ckpt       checkpoint
	spareMarks chan *ackMarks

	required int32 // number of required sinks
	sinkMu   sync.Mutex
	sinkErr  []error // by sink: what keeps it from answering
	sinkDeaf []error // by sink: calls that ignore their deadline
	tipErr   error   // why streams with a hole still wait for the first required sink's tip
	halted   halts   // lanes that a sink has refused, until Tune serves them again
	broken   halts   // streams that recovery could not settle, until the next start

	sealMu  sync.Mutex // one seal at a time; guards roll, sealer and the sealer's fields of streams
	roll    *rollover
	s       sealer
	tracker *tracker

	closed    atomic.Bool // intake
	coalesced atomic.Uint64
	background
}

// background is what Open starts and Close ends.
type background struct {
	stop chan struct{} // closed by Close; nil with New
	done sync.WaitGroup
}

// New makes a pipeline that does nothing by itself: SealNow hands the slices over.
func New(o Options) (*Pipeline, error) { return build(o, false) }

// Open makes a pipeline, recovers what the WAL holds, and starts sealing and exporting.
func Open(o Options) (*Pipeline, error) {
	p, err := build(o, true)
	if err != nil {
		return nil, err
	}
	p.start()
	return p, nil
}

func build(o Options, open bool) (*Pipeline, error) {
	o = o.withDefaults()
	if err := o.validate(open); err != nil {
		return nil, err
	}
	p := &Pipeline{
		o:       o,
		dims:    dimensionNames(o.Dimensions),
		seconds: uint64(o.Window / time.Second),
		streams: newStreamTable(o.MaxStreams),
		log:     o.Logger,
		tracker: newTracker(),
		roll:    newRollover(o.Clock, uint64(o.Window/time.Second)),
	}
	for _, s := range o.Sinks {
		if s.Required {
			p.required++
		}
	}
	p.sinkErr, p.sinkDeaf = make([]error, len(o.Sinks)), make([]error, len(o.Sinks))
	p.books, p.ckpt.covered = newBooks(len(p.dims)), make([]u128, len(p.dims))
	p.metrics = NewMetrics(p.dims)
	p.ready = newReadiness(min(o.Window, 15*time.Second), func(k ReadyKey) { p.metrics.ReadyMissing.WithLabelValues(string(k)).Inc() })
	p.s.init(len(p.dims))
	p.spareMarks = make(chan *ackMarks, 2*o.ExportWorkers+2) // a batch of acks a worker, and who else collects some
	if err := p.recover(); err != nil {
		return nil, errors.Join(err, p.dismantle())
	}
	if err := p.connect(); err != nil {
		return nil, errors.Join(err, p.dismantle())
	}
	if open && p.wal != nil {
		if err := p.compareTips(); err != nil {
			return nil, errors.Join(err, p.dismantle())
		}
		p.resume(p.backlog)
		p.backlog = nil
	} else if len(p.waiting) > 0 {
		p.repairAll(context.Background()) // New: the host holds what it was handed
	}
	p.publish()
	return p, nil
}

// Map returns the shard map, for the hot path.
func (p *Pipeline) Map() *shardmap.Wide { return p.m }

// Metrics returns the instruments, as a prometheus.Collector.
func (p *Pipeline) Metrics() *Metrics { return p.metrics }

// Readiness returns the state of the readiness keys.
func (p *Pipeline) Readiness() Readiness { return p.ready.get() }

// Writer returns the id that every stream of this pipeline is written under.
func (p *Pipeline) Writer() canon.ID { return p.writer }

// orBackground takes nil for no deadline: a host is not ended, and a Close not left half done, over that.
func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// SealNow seals a part of the current window and returns the slices, in memory of their own.
func (p *Pipeline) SealNow(ctx context.Context) ([]canon.SealedSlice, error) {
	if p.closed.Load() {
		return nil, ErrClosed
	}
	ctx = orBackground(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	out, err := p.handBacklog()
	if err != nil {
		return nil, err
	}
	each := func(q *pending) { out = append(out, q.slice.Clone()) }
	p.catchUp(each) // with New nobody else seals a window that has ended: its slices are the host's, too
	_, err = p.seal(p.roll.cur, sealPart, each)
	if p.stop == nil { // New: nothing in the background does it
		if p.wal != nil {
			err = errors.Join(err, p.wal.Maintain())
		}
		p.publish()
	}
	return out, err
}

// Flush seals until nothing that was counted before the call is open, and waits until all of it is acked. With New only SealNow acks: what is
// sealed waits for it, and Flush says so at once.
func (p *Pipeline) Flush(ctx context.Context) error {
	if p.closed.Load() {
		return ErrClosed
	}
	ctx = orBackground(ctx)
	start := p.o.Clock.Monotonic()
	for {
		p.sealMu.Lock()
		p.catchUp(nil)
		n, err := p.seal(p.roll.cur, sealPart, nil)
		epoch := p.s.epoch
		p.sealMu.Unlock()
		if err != nil {
			return err
		}
		if err := p.drained(ctx, epoch); err != nil {
			return p.drainError(p.o.Clock.Monotonic() - start)
		}
		if n.kept.streams == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return p.drainError(p.o.Clock.Monotonic() - start)
		case <-time.After(flushAgain):
		}
	}
}

// drained waits until all slices up to epoch are acked, or returns an error: with New at once, as nothing in the background acks.
func (p *Pipeline) drained(ctx context.Context, epoch uint64) error {
	if len(p.routers) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.Background())
		cancel()
	}
	return p.tracker.wait(ctx, epoch)
}

// flushAgain is how long Flush waits before it tries again to seal what found no room.
const flushAgain = 5 * time.Millisecond

// Close stops the intake, seals what is open, waits for the acks until ctx or the drain deadline ends, and stops the background work.
func (p *Pipeline) Close(ctx context.Context) error {
	if !p.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	start := p.o.Clock.Monotonic()
	ctx, cancel := context.WithTimeout(orBackground(ctx), p.drainDeadline())
	defer cancel()
	p.m.Close() // from here on Record is ErrClosed; what returned nil before is seen by the seal below
	p.stopTicker()

	epoch, unsealed, err := p.sealRest()
	if len(p.waiting) > 0 { // who asked for their tips has just been stopped; without an answer they stay in the WAL
		p.repairAll(ctx)
		var again error
		epoch, unsealed, again = p.sealRest()
		err = errors.Join(err, again)
	}
	kept := p.o.CounterFile != ""
	if len(unsealed) > 0 && p.o.CheckpointInterval > 0 {
		kept = p.saveOpen() == nil && !p.unknown || kept
	}
	if p.drained(ctx, epoch) != nil || len(unsealed) > 0 {
		e := p.drainError(p.o.Clock.Monotonic() - start)
		e.Unsealed, e.Kept = unsealed, kept
		err = errors.Join(err, e)
	}
	p.drainOptional(ctx)
	p.ready.set(ConfigLoaded, ErrClosed)
	return errors.Join(err, p.dismantle())
}

// sealRest is Close's seal. It returns the last epoch, and what is open all the same.
func (p *Pipeline) sealRest() (epoch uint64, unsealed map[string]uint64, err error) {
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	p.catchUp(nil)
	_, err = p.seal(p.roll.cur, sealLast, nil)
	unsealed = p.unsealed()
	p.publish()
	return p.s.epoch, unsealed, err
}

// unsealed returns what is open, by dimension name. Under sealMu.
func (p *Pipeline) unsealed() map[string]uint64 {
	open := make([]u128, len(p.dims))
	p.m.Totals(nil, open)
	var out map[string]uint64
	for i, u := range open {
		if !u.IsZero() {
			if out == nil {
				out = map[string]uint64{}
			}
			out[p.dims[i]] = clamp(u)
		}
	}
	return out
}

// drainError reports what is pending.
func (p *Pipeline) drainError(after time.Duration) *DrainError {
	e := &DrainError{Slices: p.tracker.pending(), Units: map[string]uint64{}, After: after, Durable: p.wal != nil, Cause: p.ready.reasons()[ExporterOK]}
	for i, name := range p.dims {
		if u := p.books.page(i).pending; !u.IsZero() {
			e.Units[name] = clamp(u)
		}
	}
	for _, list := range [][]*stream{p.streams.all(), p.retired} {
		for _, s := range list {
			if slices.ContainsFunc(s.lanes, func(l *lane.Lane) bool { return l.Len() > 0 }) {
				e.Streams++
			}
		}
	}
	if len(p.routers) == 0 { // with New they wait for SealNow
		p.sealMu.Lock()
		defer p.sealMu.Unlock()
		of := map[*stream]bool{}
		for _, q := range p.backlog {
			of[q.stream] = true
		}
		e.Streams = len(of)
	}
	return e
}
