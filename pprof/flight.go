package pprof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// FlightOptions bound a flight recorder. Dir and Bounds are required.
type FlightOptions struct {
	Dir      string                        // where dumps go; made if it is not there
	Bounds   map[stage.Stage]time.Duration // how long a stage may take; a stage not named is not watched
	MinAge   time.Duration                 // how far back a dump should reach; 5 s
	MaxBytes int64                         // bound of the window in memory (a hint to the runtime) and of each file; 16 MiB
	Cooldown time.Duration                 // least time between two dumps; 30 s
	MaxDumps int                           // dumps in the recorder's life; 16
}

// FlightStats counts what a flight recorder did.
type FlightStats struct {
	Exceeded   uint64 // observations beyond their bound
	Dumped     uint64 // files written
	Suppressed uint64 // not dumped: cooldown, MaxDumps, or a dump was being written
	Failed     uint64 // dumps that could not be written; LastError says why
	LastError  error
	LastFile   string // path of the last file written
}

// Flight keeps the last seconds of the runtime's execution trace in memory and writes them to a file when a
// stage exceeds its bound. All methods may be called from any goroutine. It owns one goroutine, until Close.
type Flight struct {
	o       FlightOptions
	bounds  [8]time.Duration // indexed by Stage; 0: not watched. Read-only after creation
	rec     *trace.FlightRecorder
	request chan dump
	done    chan struct{}
	closed  atomic.Bool
	next    atomic.Int64 // monotonic ns since epoch before which no dump is asked for
	epoch   time.Time

	exceeded, suppressed atomic.Uint64

	life sync.RWMutex // a sender holds it for reading, Close for writing: nothing is sent on a closed channel

	mu    sync.Mutex // guards stats' other fields; held by the writer goroutine between dumps only
	stats FlightStats
}

type dump struct {
	s    stage.Stage
	took time.Duration
	at   time.Time
}

// NewFlight starts recording. The runtime allows one flight recorder a process: a second one is ErrInUse.
func NewFlight(o FlightOptions) (*Flight, error) {
	if o.MinAge == 0 {
		o.MinAge = 5 * time.Second
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
	}
	if o.Cooldown == 0 {
		o.Cooldown = 30 * time.Second
	}
	if o.MaxDumps == 0 {
		o.MaxDumps = 16
	}
	f := &Flight{o: o, request: make(chan dump, 1), done: make(chan struct{}), epoch: time.Now()}
	if err := f.setBounds(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("accounting/pprof: directory of the flight recorder: %w", err)
	}
	f.rec = trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: o.MinAge, MaxBytes: uint64(o.MaxBytes)})
	if err := f.rec.Start(); err != nil {
		return nil, errors.Join(ErrInUse, err)
	}
	go f.run()
	return f, nil
}

func (f *Flight) setBounds() error {
	var faults []error
	if f.o.Dir == "" {
		faults = append(faults, fmt.Errorf("%w: Dir is empty, want a directory", ErrOptions))
	}
	if len(f.o.Bounds) == 0 {
		faults = append(faults, fmt.Errorf("%w: Bounds is empty, want a bound for at least one stage", ErrOptions))
	}
	for s, d := range f.o.Bounds {
		if s.String() == "" || d <= 0 {
			faults = append(faults, fmt.Errorf("%w: bound of stage %d is %v, want a stage and a positive duration", ErrOptions, s, d))
			continue
		}
		f.bounds[s] = d
	}
	if f.o.MinAge < 0 || f.o.MaxBytes < 0 || f.o.Cooldown < 0 || f.o.MaxDumps < 0 {
		faults = append(faults, fmt.Errorf("%w: MinAge, MaxBytes, Cooldown and MaxDumps must not be negative", ErrOptions))
	}
	return errors.Join(faults...)
}

// Observe tells that stage s took d, ending now. Within the bound it costs a comparison; beyond it a dump is asked
// for without waiting for it.
func (f *Flight) Observe(s stage.Stage, d time.Duration) {
	if int(s) >= len(f.bounds) || f.bounds[s] == 0 || d <= f.bounds[s] || f.closed.Load() {
		return
	}
	f.exceeded.Add(1)
	now := int64(time.Since(f.epoch))
	next := f.next.Load()
	if now < next || !f.next.CompareAndSwap(next, now+int64(f.o.Cooldown)) {
		f.suppressed.Add(1)
		return
	}
	f.life.RLock()
	defer f.life.RUnlock()
	if f.closed.Load() {
		return
	}
	select {
	case f.request <- dump{s: s, took: d, at: time.Now()}:
	default:
		f.suppressed.Add(1)
	}
}

// Do runs fn as stage s, labelled, and observes how long it took.
func (f *Flight) Do(ctx context.Context, s stage.Stage, fn func(context.Context)) {
	start := time.Now()
	defer func() { f.Observe(s, time.Since(start)) }()
	stage.Do(ctx, s, fn)
}

func (f *Flight) run() {
	defer close(f.done)
	for d := range f.request {
		f.mu.Lock()
		full := f.stats.Dumped+f.stats.Failed >= uint64(f.o.MaxDumps)
		f.mu.Unlock()
		if full {
			f.suppressed.Add(1)
			continue
		}
		path, err := f.write(d)
		f.mu.Lock()
		if err != nil {
			f.stats.Failed++
			f.stats.LastError = err
		} else {
			f.stats.Dumped++
			f.stats.LastFile = path
		}
		f.mu.Unlock()
	}
}

// write names the file by stage, duration and time, so that a directory listing already tells the story.
func (f *Flight) write(d dump) (string, error) {
	name := fmt.Sprintf("flight-%s-%s-%s.trace", d.at.UTC().Format("20060102T150405.000Z"), d.s, d.took.Round(time.Microsecond))
	out, err := create(filepath.Join(f.o.Dir, name), f.o.MaxBytes*2) // MaxBytes is a hint to the runtime: the file may be larger
	if err != nil {
		return "", err
	}
	if _, err := f.rec.WriteTo(out); err != nil {
		out.discard()
		return "", fmt.Errorf("accounting/pprof: writing the flight recorder's window: %w", err)
	}
	if _, err := out.commit(); err != nil {
		return "", err
	}
	return out.path, nil
}

// Stats returns the counts so far.
func (f *Flight) Stats() FlightStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Exceeded, s.Suppressed = f.exceeded.Load(), f.suppressed.Load()
	return s
}

// Close waits for a dump under way, stops recording and ends the goroutine. Observations that come later are ignored. A
// second Close is ErrStopped.
func (f *Flight) Close() error {
	f.life.Lock()
	if f.closed.Swap(true) {
		f.life.Unlock()
		return fmt.Errorf("%w: Close was called before", ErrStopped)
	}
	close(f.request)
	f.life.Unlock()
	<-f.done
	f.rec.Stop()
	return nil
}
