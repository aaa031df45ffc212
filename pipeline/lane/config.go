package lane

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Fairness is how streams share the sink.
type Fairness uint8

const (
	RoundRobin Fairness = iota // a slice a turn for each stream
	WFQ                        // in proportion to the tenants' weights
)

func (f Fairness) String() string {
	switch f {
	case RoundRobin:
		return "round-robin"
	case WFQ:
		return "wfq"
	}
	return fmt.Sprintf("Fairness(%d)", uint8(f))
}

// Config describes one router. New copies it, sets the defaults and reports every fault at once.
type Config struct {
	Sink export.Sink // Name and Exporter; a BatchExporter is preferred. Required is the caller's business

	Workers        int // calls in flight at most; 0: GOMAXPROCS; at most twice that
	LaneCapacity   int // slices a lane should hold, 1024; see Lane.Room
	MaxBatchSlices int // slices a call at most, 2048
	MaxBatchBytes  int // octets of slices a call at most, 4 MiB; one slice always goes
	Horizon        int // acked digests remembered, 16384; see the package comment

	TripAfter int // calls in a row without an ack that open the circuit, 5

	Tuning

	// Load brings the body of an item that was enqueued without one. Its result is held until the call has returned.
	// An error fails the item like a failed call (class fail). Called by workers, at once for different lanes.
	Load func(*Item) (canon.SealedSlice, error)

	Hooks  Hooks
	Logger *slog.Logger // nil: silent
	Tracer trace.Tracer // nil: no spans

	Seed uint64 // of the jitter; 0: random
}

// Tuning is what may be changed while the router runs.
type Tuning struct {
	Fairness   Fairness
	Weights    map[canon.ID]uint8 // by tenant, 1..8; 1 where absent. Only for WFQ
	Base, Cap  time.Duration      // backoff: 50 ms, 2 s
	OpDeadline time.Duration      // of one call, and of one operation with its retries: 10 s
	Rest       time.Duration      // how long a lane rests after an operation failed, ±: 15 s
}

// Hooks are called outside the router's lock and must be quick; they may call Enqueue, Room, Stats and Restart, but not
// Drain or Close. Nil ones are skipped.
type Hooks struct {
	// Acked returns items that the sink holds, in order within each lane. acks[i] belongs to items[i]; both slices are
	// the router's again when it returns, the items are the caller's. now is when the answer came.
	Acked func(now time.Time, items []*Item, acks []export.Ack)
	// Failed reports failed attempts, once for each class that a call's answers fell into.
	Failed func(Failure)
	// Halted reports a gap or a conflict. The lane keeps its items and is served no more, until Restart.
	Halted func(l *Lane, seq uint64, err error)
	// Rested reports that a lane gave up an operation and will start another later.
	Rested func(l *Lane, err error)
	// Circuit reports that the sink as a whole stopped answering (open, with the last error) or answers again.
	Circuit func(open bool, err error)
}

// Failure is what Hooks.Failed is told.
type Failure struct {
	Class   Class
	Op      string // "put", or what the sink's RemoteError says
	Slices  int    // slices that got no ack for this reason; those behind them in their runs are not counted
	Whole   bool   // nothing in the call was acked
	Err     error  // the first of them
	Retried bool   // will be tried again (all but gap and conflict)
}

func (c *Config) setDefaults() {
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	or(&c.Workers, runtime.GOMAXPROCS(0))
	or(&c.LaneCapacity, 1024)
	or(&c.MaxBatchSlices, 2048)
	or(&c.MaxBatchBytes, 4<<20)
	or(&c.Horizon, 16384)
	or(&c.TripAfter, 5)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Tuning.setDefaults()
}

func (t *Tuning) setDefaults() {
	or := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	or(&t.Base, 50*time.Millisecond)
	or(&t.Cap, 2*time.Second)
	or(&t.OpDeadline, 10*time.Second)
	or(&t.Rest, 15*time.Second)
}

// clone is a copy that the caller's changes to its map do not reach.
func (t Tuning) clone() Tuning {
	t.Weights = maps.Clone(t.Weights)
	return t
}

// validate reports every fault, each with what was got and what is allowed.
func (c *Config) validate() error {
	var errs []error
	bad := func(field string, got any, want string) {
		errs = append(errs, fmt.Errorf("accounting/lane: Config.%s: got %v, want %s", field, got, want))
	}
	if c.Sink.Exporter == nil {
		bad("Sink.Exporter", nil, "an Exporter")
	}
	if most := 2 * runtime.GOMAXPROCS(0); c.Workers < 1 || c.Workers > most {
		bad("Workers", c.Workers, fmt.Sprintf("1 to %d (twice GOMAXPROCS)", most))
	}
	for _, f := range []struct {
		name    string
		v, most int
	}{
		{"LaneCapacity", c.LaneCapacity, 1 << 20}, {"MaxBatchSlices", c.MaxBatchSlices, 1 << 16}, {"MaxBatchBytes", c.MaxBatchBytes, 1 << 30},
		{"Horizon", c.Horizon, 1 << 24}, {"TripAfter", c.TripAfter, 1 << 20},
	} {
		if f.v < 1 || f.v > f.most {
			bad(f.name, f.v, fmt.Sprintf("1 to %d", f.most))
		}
	}
	return errors.Join(append(errs, c.Tuning.validate())...)
}

func (t *Tuning) validate() error {
	var errs []error
	bad := func(field string, got any, want string) {
		errs = append(errs, fmt.Errorf("accounting/lane: Config.%s: got %v, want %s", field, got, want))
	}
	if t.Fairness > WFQ {
		bad("Fairness", t.Fairness, "RoundRobin or WFQ")
	}
	for id, w := range t.Weights {
		if w < 1 || w > maxWeight {
			bad("Weights", fmt.Sprintf("%d for %.8s", w, id), "1 to 8")
		}
	}
	if t.Base < time.Millisecond || t.Base > time.Minute {
		bad("Base", t.Base, "1ms to 1m")
	}
	if t.Cap < t.Base || t.Cap > time.Hour {
		bad("Cap", t.Cap, "Base to 1h")
	}
	if t.OpDeadline < 10*time.Millisecond || t.OpDeadline > time.Hour {
		bad("OpDeadline", t.OpDeadline, "10ms to 1h")
	}
	if t.Rest < time.Millisecond || t.Rest > 24*time.Hour {
		bad("Rest", t.Rest, "1ms to 24h")
	}
	return errors.Join(errs...)
}
