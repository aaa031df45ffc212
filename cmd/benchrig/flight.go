package main

// run --flight: the runtime's trace flight recorder beside a workload, which leaves a trace where a stage takes longer than its bound.

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/pprof"
	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// flightBounds are in force where --flight-bounds says nothing else: far beyond what a healthy run shows, at the specification's levels or below.
var flightBounds = map[stage.Stage]time.Duration{
	stage.Record: 2 * time.Millisecond, // a batch of 64 calls
	stage.Seal:   250 * time.Millisecond,
	stage.WAL:    50 * time.Millisecond,
	stage.Export: 600 * time.Millisecond,
}

// flightPlan says where dumps go; Dir "" is no recorder.
type flightPlan struct {
	Dir    string
	bounds map[stage.Stage]time.Duration
}

// parseFlight reads STAGE=D pairs with commas between, over the defaults.
func parseFlight(dir, pairs string) (flightPlan, error) {
	p := flightPlan{Dir: dir, bounds: map[stage.Stage]time.Duration{}}
	for s, d := range flightBounds {
		p.bounds[s] = d
	}
	if pairs == "" {
		return p, nil
	}
	if dir == "" {
		return p, fmt.Errorf("--flight-bounds needs --flight DIR")
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		name, text, _ := strings.Cut(pair, "=")
		s, known := stage.Parse(name)
		d, err := time.ParseDuration(text)
		if !known || s == stage.None || err != nil || d <= 0 {
			return p, fmt.Errorf("--flight-bounds: got %q, want STAGE=D with a stage of record, seal, wal, export and a duration above 0, like seal=50ms", pair)
		}
		p.bounds[s] = d
	}
	return p, nil
}

// start begins to record the workload. stop ends it and says, for people, what it did.
func (p flightPlan) start(workload string) (f *pprof.Flight, stop func() string, err error) {
	dir := filepath.Join(p.Dir, workload)
	if f, err = pprof.NewFlight(pprof.FlightOptions{Dir: dir, Bounds: p.bounds, Cooldown: 5 * time.Second}); err != nil {
		return nil, nil, err
	}
	return f, func() string {
		_ = f.Close() // twice is its only error
		s := f.Stats()
		said := fmt.Sprintf("flight recorder: %d times beyond a bound; traces written: %d", s.Exceeded, s.Dumped)
		if s.Dumped > 0 {
			said += fmt.Sprintf(", in %s, the last %s (go tool trace FILE)", dir, filepath.Base(s.LastFile))
		}
		if s.LastError != nil {
			said += fmt.Sprintf("; not written: %d, %v", s.Failed, s.LastError)
		}
		return said
	}, nil
}
