package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"regexp"
	"runtime"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// Profile sets the defaults of the other options.
type Profile uint8

const (
	Micronode Profile = iota // edge: RAM only (amnesia); a restart may lose what was not acked
	Macronode                // server: WAL on; what was sealed is durable before it is exported
)

func (p Profile) String() string {
	switch p {
	case Micronode:
		return "micronode"
	case Macronode:
		return "macronode"
	}
	return fmt.Sprintf("Profile(%d)", uint8(p))
}

// OverflowPolicy is what happens to a stream's window when its lane, the pending queue or the WAL is full.
type OverflowPolicy uint8

const (
	Coalesce OverflowPolicy = iota // it is not sealed: its counters keep counting and the next slice spans several windows
	Shed                           // it is dropped, and declared as a gap in the stream's next slice
)

// Fairness is the order in which lanes get their turn.
type Fairness uint8

const (
	RoundRobin Fairness = iota // a turn each
	WFQ                        // turns by the tenant's weight
)

// BackoffOptions shape the retries of a lane: full jitter between 0 and an exponentially growing bound.
type BackoffOptions struct {
	Base time.Duration // first bound; 50 ms
	Cap  time.Duration // last bound; 2 s
}

// Options configure a recorder. The zero value is valid for New. Options are copied; maps and slices must not be changed afterwards.
type Options struct {
	Profile          Profile
	Window           time.Duration // 300 s; whole seconds, 60 s to 3600 s (from 1 s with AllowShortWindow), dividing the period
	PeriodBoundary   Period        // no slice crosses one; Day
	CapacityRows     int           // keys that can be counted at a time; 200,000
	MaxStreams       int           // (tenant, dimension) pairs; 131,072
	MaxRowsPerSlice  int           // 4,096; a larger window becomes consecutive slices
	PendingSlices    int           // sealed slices held in RAM until acked; 8,192
	LaneCapacity     int           // of them, per stream; 1,024
	ExportWorkers    int           // calls to a sink in flight; GOMAXPROCS, at most twice that
	Shards           int           // index partitions, one insert lock each; a power of two; 64
	Dimensions       []string      // names of the dimensions from 3 on; at most 253
	Overflow         OverflowPolicy
	Fairness         Fairness
	Weights          map[canon.ID]uint8 // by tenant, 1 to 8, for WFQ; 1 where not named
	Heartbeat        bool               // a stream gone idle seals empty slices for three windows
	AllowShortWindow bool
	IdleWindows      int // windows after which an idle row may be evicted; 12; negative: never

	// DeclareRollback is an operator's word, for the start that mends it: where the first required sink has lost slices that it had acked, they are
	// given up, as a gap with the reason ledger_rollback and units unknown, instead of halting their streams. Needs a WAL, and a sink with Tip.
	// Each stream waits at that start until the sink has told its tip.
	DeclareRollback bool

	Sinks       []export.Sink // Open wants at least one; if none is Required, all are
	WAL         *wal.Options  // nil: none
	CounterFile string        // "": counters on the heap; else a file on a tmpfs; needs WAL

	// CheckpointInterval is how often what is open is copied into the WAL's directory: a power cut (or, with counters on the heap, a kill) then costs
	// at most what was counted in that time and while the copy was written. 28 bytes an open row each. 0: never; from 100 ms. Needs Open, and a WAL
	// that is synced on each seal: of one that may lose commits nothing says whether they held what a checkpoint has open.
	CheckpointInterval time.Duration

	Backoff       BackoffOptions
	OpDeadline    time.Duration // one export call; 10 s
	DrainDeadline time.Duration // Close's wait for acks; 5 s

	Clock  Clock        // nil: the system's
	Logger *slog.Logger // nil: no logs
	Tracer trace.Tracer // nil: no spans

	// Events receives SliceSealed and SliceExported. Full, the oldest is dropped and counted. nil: none.
	Events *Events
}

const (
	defaultWindow          = 300 * time.Second
	defaultCapacityRows    = 200_000
	defaultMaxStreams      = 131_072
	defaultMaxRowsPerSlice = 4096
	defaultPendingSlices   = 8192
	defaultLaneCapacity    = 1024
	defaultShards          = 64
	defaultIdleWindows     = 12
	heartbeatWindows       = 3
	leastCheckpoint        = 100 * time.Millisecond

	// mostRowsPerSlice rows of the largest encoding (32 bytes) and a head stay below 1 MiB.
	mostRowsPerSlice = 32_000
	mostCapacityRows = 1 << 30
)

var sinkName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// withDefaults returns a copy in which every zero field has its default.
func (o Options) withDefaults() Options {
	orInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	orDur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	orDur(&o.Window, defaultWindow)
	orInt(&o.CapacityRows, defaultCapacityRows)
	orInt(&o.MaxStreams, defaultMaxStreams)
	orInt(&o.MaxRowsPerSlice, defaultMaxRowsPerSlice)
	orInt(&o.PendingSlices, defaultPendingSlices)
	orInt(&o.LaneCapacity, defaultLaneCapacity)
	orInt(&o.ExportWorkers, runtime.GOMAXPROCS(0)) // not NumCPU: a container may have a few of many cores
	orInt(&o.Shards, defaultShards)
	orInt(&o.IdleWindows, defaultIdleWindows)
	orDur(&o.Backoff.Base, 50*time.Millisecond)
	orDur(&o.Backoff.Cap, 2*time.Second)
	orDur(&o.OpDeadline, 10*time.Second)
	orDur(&o.DrainDeadline, 5*time.Second)
	if o.Clock == nil {
		o.Clock = newSystemClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Dimensions = slices.Clone(o.Dimensions)
	o.Sinks = slices.Clone(o.Sinks)
	if !slices.ContainsFunc(o.Sinks, func(s export.Sink) bool { return s.Required }) {
		for i := range o.Sinks {
			o.Sinks[i].Required = true
		}
	}
	return o
}

// validate reports every fault at once, as *OptionErrors joined. o has its defaults.
func (o *Options) validate(open bool) error {
	var faults []error
	fault := func(field string, got any, want string) {
		faults = append(faults, &OptionError{field, got, want})
	}
	between := func(field string, got, least, most int) {
		if got < least || got > most {
			fault(field, got, fmt.Sprintf("%d to %d", least, most))
		}
	}
	o.validateTime(fault)
	between("CapacityRows", o.CapacityRows, 1, mostCapacityRows)
	between("MaxStreams", o.MaxStreams, 1, 1<<24)
	between("MaxRowsPerSlice", o.MaxRowsPerSlice, 1, mostRowsPerSlice)
	between("PendingSlices", o.PendingSlices, 1, 1<<24)
	between("LaneCapacity", o.LaneCapacity, 1, 1<<20)
	between("ExportWorkers", o.ExportWorkers, 1, 2*runtime.GOMAXPROCS(0))
	if o.Shards < 1 || o.Shards > 1<<16 || bits.OnesCount(uint(o.Shards)) != 1 {
		fault("Shards", o.Shards, "a power of two from 1 to 65536")
	}
	if o.Profile > Macronode {
		fault("Profile", o.Profile, "Micronode or Macronode")
	}
	if o.Overflow > Shed {
		fault("Overflow", o.Overflow, "Coalesce or Shed")
	}
	if o.Fairness > WFQ {
		fault("Fairness", o.Fairness, "RoundRobin or WFQ")
	}
	if o.Profile == Macronode && o.WAL == nil {
		fault("WAL", "nil", "wal.Options: the Macronode profile keeps sealed slices in a WAL")
	}
	if o.Profile == Micronode && o.WAL != nil {
		fault("WAL", "set", "nil: the Micronode profile keeps nothing across a restart (use Macronode)")
	}
	if o.DeclareRollback && o.WAL == nil {
		fault("DeclareRollback", true, "false, or a WAL: without one no acks are remembered")
	}
	if o.CounterFile != "" && o.WAL == nil {
		fault("CounterFile", o.CounterFile, "an empty name, or a WAL beside it")
	}
	if c := o.CheckpointInterval; c != 0 {
		if c < leastCheckpoint {
			fault("CheckpointInterval", c, fmt.Sprintf("0 (never), or from %v", leastCheckpoint))
		}
		if !open || o.WAL == nil || o.WAL.Fsync != wal.OnSeal {
			fault("CheckpointInterval", c, "0, or Open and a WAL with Fsync OnSeal: a checkpoint holds only beside commits that can't be lost")
		}
	}
	if o.WAL != nil {
		if err := o.WAL.WithDefaults().Validate(); err != nil {
			faults = append(faults, err)
		}
	}
	o.validateNames(fault, open)
	for id, w := range o.Weights {
		if w < 1 || w > 8 {
			fault("Weights["+id.String()+"]", w, "1 to 8")
		}
	}
	return errors.Join(faults...)
}

func (o *Options) validateTime(fault func(field string, got any, want string)) {
	least := 60 * time.Second
	if o.AllowShortWindow {
		least = time.Second
	}
	period := 24 * time.Hour
	if o.PeriodBoundary == Hour {
		period = time.Hour
	}
	switch {
	case o.Window < least || o.Window > time.Hour:
		want := fmt.Sprintf("%v to 1h0m0s", least)
		if !o.AllowShortWindow {
			want += " (from 1s with AllowShortWindow)"
		}
		fault("Window", o.Window, want)
	case o.Window%time.Second != 0:
		fault("Window", o.Window, "whole seconds")
	case period%o.Window != 0:
		fault("Window", o.Window, fmt.Sprintf("a divisor of %v, so that no window crosses a period boundary", period))
	}
	if o.PeriodBoundary > Month {
		fault("PeriodBoundary", uint8(o.PeriodBoundary), "Day, Hour or Month")
	}
	if o.Backoff.Base < time.Millisecond || o.Backoff.Base > time.Minute || o.Backoff.Cap < o.Backoff.Base || o.Backoff.Cap > time.Hour {
		fault("Backoff", fmt.Sprintf("Base %v, Cap %v", o.Backoff.Base, o.Backoff.Cap), "Base 1ms to 1m, Cap from Base to 1h")
	}
	if o.OpDeadline < 10*time.Millisecond || o.OpDeadline > time.Hour {
		fault("OpDeadline", o.OpDeadline, "10ms to 1h")
	}
	if o.DrainDeadline < 0 {
		fault("DrainDeadline", o.DrainDeadline, "more than 0")
	}
}

func (o *Options) validateNames(fault func(field string, got any, want string), open bool) {
	if len(o.Dimensions) > maxDimensions-builtinDimensions {
		fault("Dimensions", fmt.Sprintf("%d names", len(o.Dimensions)), "at most 253")
	}
	seen := map[string]bool{}
	for i, n := range dimensionNames(o.Dimensions) {
		switch {
		case !validName(n):
			fault(fmt.Sprintf("Dimensions[%d]", i-builtinDimensions), fmt.Sprintf("%.70q", n), "[a-z][a-z0-9_]{0,62}")
		case seen[n]:
			fault(fmt.Sprintf("Dimensions[%d]", i-builtinDimensions), fmt.Sprintf("%q", n), "a name not used yet")
		}
		seen[n] = true
	}
	switch {
	case open && len(o.Sinks) == 0:
		fault("Sinks", "none", "at least one (New needs none: the host takes what SealNow returns)")
	case !open && len(o.Sinks) > 0:
		fault("Sinks", fmt.Sprintf("%d", len(o.Sinks)), "none: New has no background work (use Open)")
	}
	names := map[string]bool{}
	for i, s := range o.Sinks {
		field := fmt.Sprintf("Sinks[%d]", i)
		if !sinkName.MatchString(s.Name) {
			fault(field+".Name", fmt.Sprintf("%.40q", s.Name), "[a-z][a-z0-9_-]{0,31}")
		} else if names[s.Name] {
			fault(field+".Name", fmt.Sprintf("%q", s.Name), "a name not used yet")
		}
		names[s.Name] = true
		if s.Exporter == nil {
			fault(field+".Exporter", "nil", "an Exporter")
		}
	}
}
