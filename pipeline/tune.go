package pipeline

import (
	"errors"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// Tuning is the part of Options that may change while the recorder runs. Zero fields have the defaults of Options.
type Tuning struct {
	Fairness      Fairness
	Weights       map[canon.ID]uint8
	Backoff       BackoffOptions
	OpDeadline    time.Duration
	DrainDeadline time.Duration
}

// Lane is the same for a router of this pipeline or of another.
func (t Tuning) Lane() lane.Tuning {
	f := lane.RoundRobin
	if t.Fairness == WFQ {
		f = lane.WFQ
	}
	return lane.Tuning{Fairness: f, Weights: t.Weights, Base: t.Backoff.Base, Cap: t.Backoff.Cap, OpDeadline: t.OpDeadline}
}

// Tune changes the export of every sink, and serves halted lanes again: after the sink was mended it is the way on without a restart. After an error
// the sinks before the one that it names are changed already.
func (p *Pipeline) Tune(t Tuning) error {
	if t.DrainDeadline == 0 {
		t.DrainDeadline = 5 * time.Second
	}
	if t.DrainDeadline < 0 {
		return &OptionError{"DrainDeadline", t.DrainDeadline, "0 or more"}
	}
	var errs []error
	for _, r := range p.routers {
		errs = append(errs, r.Tune(t.Lane()))
	}
	p.sinkMu.Lock()
	p.o.DrainDeadline = t.DrainDeadline
	p.halted = halts{} // those that are not mended come back at once
	p.judgeSinks()
	p.sinkMu.Unlock()
	p.restartLanes()
	return errors.Join(errs...)
}

// restartLanes serves every halted or resting lane again.
func (p *Pipeline) restartLanes() {
	for _, list := range [][]*stream{p.streams.all(), p.retired} {
		for _, s := range list {
			for _, l := range s.lanes {
				l.Restart()
			}
		}
	}
}

func (p *Pipeline) drainDeadline() time.Duration {
	p.sinkMu.Lock()
	defer p.sinkMu.Unlock()
	return p.o.DrainDeadline
}
