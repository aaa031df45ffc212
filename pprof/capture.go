package pprof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	rpprof "runtime/pprof"
	"sync"
	"time"
)

// Options say what to capture and where. The zero value is completed by defaults, except Dir and Kinds.
type Options struct {
	Dir   string // directory for the files; made if it is not there; required
	Kinds []Kind // what to take, each once; required

	MaxBytes      int64         // bound of each file, bytes; 256 MiB
	MutexFraction int           // one of so many contended locks is sampled while Mutex is on; 10
	BlockRate     time.Duration // one sample a so long time blocked while Block is on; 10 µs

	// Labels are copied into capture.json: command line, version, workload. No secrets: the file is meant to be kept.
	Labels map[string]string
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MutexFraction == 0 {
		o.MutexFraction = 10
	}
	if o.BlockRate == 0 {
		o.BlockRate = 10 * time.Microsecond
	}
	return o
}

// Validate reports every fault of o at once, as ErrOptions or ErrKind.
func (o Options) Validate() error {
	var faults []error
	bad := func(format string, a ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, a...)...))
	}
	if o.Dir == "" {
		bad("Dir is empty, want a directory")
	}
	if len(o.Kinds) == 0 {
		bad("Kinds is empty, want at least one of %v", Kinds())
	}
	seen := map[Kind]bool{}
	for _, k := range o.Kinds {
		if _, err := ParseKind(string(k)); err != nil {
			faults = append(faults, err)
		} else if seen[k] {
			bad("kind %s is given twice", k)
		}
		seen[k] = true
	}
	if o.MaxBytes < 0 {
		bad("MaxBytes is %d, want a positive number of bytes", o.MaxBytes)
	}
	if o.MutexFraction < 0 {
		bad("MutexFraction is %d, want a positive number", o.MutexFraction)
	}
	if o.BlockRate < 0 {
		bad("BlockRate is %v, want a positive duration", o.BlockRate)
	}
	return errors.Join(faults...)
}

// Capture is a capture under way. Its methods may be called from any goroutine.
type Capture struct {
	opts    Options
	started time.Time

	mu      sync.Mutex
	running []*taking // nil after Stop
}

// taking is one kind under way: finish completes the file and may be called once.
type taking struct {
	kind   Kind
	file   *file
	finish func() error
}

// Start begins every kind that o asks for, or none: on an error what had begun is stopped and its files
// are removed. ErrInUse means that another part of the process profiles already.
func Start(o Options) (*Capture, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("accounting/pprof: directory of the capture: %w", err)
	}
	c := &Capture{opts: o, started: time.Now(), running: []*taking{}}
	for _, k := range startOrder(o.Kinds) {
		t, err := c.begin(k)
		if err != nil {
			for _, t := range c.running {
				_ = t.finish()
				t.file.discard()
			}
			return nil, fmt.Errorf("accounting/pprof: starting %s: %w", k, err)
		}
		c.running = append(c.running, t)
	}
	c.started = time.Now()
	return c, nil
}

// startOrder puts the CPU profile last and the trace before it: the others' preparations do not appear in them.
func startOrder(kinds []Kind) []Kind {
	var first, last []Kind
	for _, k := range kinds {
		if k == Trace || k == CPU || k == Fgprof {
			last = append(last, k)
		} else {
			first = append(first, k)
		}
	}
	return append(first, last...)
}

func (c *Capture) begin(k Kind) (*taking, error) {
	f, err := create(filepath.Join(c.opts.Dir, k.FileName()), c.opts.MaxBytes)
	if err != nil {
		return nil, err
	}
	t := &taking{kind: k, file: f}
	switch k {
	case CPU:
		t.finish, err = beginCPU(f)
	case Trace:
		t.finish, err = beginTrace(f)
	case Fgprof:
		t.finish = beginFgprof(f)
	case Mutex:
		old := runtime.SetMutexProfileFraction(c.opts.MutexFraction)
		t.finish, err = beginDelta(f, "mutex", func() { runtime.SetMutexProfileFraction(old) })
	case Block:
		runtime.SetBlockProfileRate(int(c.opts.BlockRate.Nanoseconds()))
		t.finish, err = beginDelta(f, "block", func() { runtime.SetBlockProfileRate(0) })
	case Heap:
		t.finish = func() error { runtime.GC(); return rpprof.Lookup("heap").WriteTo(f, 0) }
	case Goroutine:
		t.finish = func() error { return rpprof.Lookup("goroutine").WriteTo(f, 0) }
	}
	if err != nil {
		f.discard()
		return nil, err
	}
	return t, nil
}

// Stop completes the files and writes capture.json beside them. Files appear under their names only when they are
// complete; one that reached MaxBytes keeps what fitted, is marked truncated, and Stop returns ErrLimit
// besides the manifest. A second Stop is ErrStopped.
func (c *Capture) Stop() (Manifest, error) {
	c.mu.Lock()
	running := c.running
	c.running = nil
	c.mu.Unlock()
	if running == nil {
		return Manifest{}, fmt.Errorf("%w: Stop was called before", ErrStopped)
	}
	m := newManifest(c.started, time.Since(c.started), c.opts.Labels)
	var faults []error
	for i := len(running) - 1; i >= 0; i-- { // observers first, so that they do not see the snapshots being taken
		t := running[i]
		err := t.finish()
		info, cerr := t.file.commit()
		if err = errors.Join(err, cerr); err != nil {
			faults = append(faults, fmt.Errorf("accounting/pprof: completing %s: %w", t.kind, err))
			if !info.Truncated {
				continue
			}
		}
		info.Kind = t.kind
		m.Files = append(m.Files, info)
	}
	if err := m.write(c.opts.Dir); err != nil {
		faults = append(faults, err)
	}
	return m, errors.Join(faults...)
}
