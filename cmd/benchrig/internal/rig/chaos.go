package rig

import (
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
)

func (s *Settings) setChaos(v string) error {
	spec, err := chaos.Parse(v)
	if err != nil {
		return err
	}
	s.Chaos = spec
	return nil
}

// syncDelay is what each fsync of the WAL takes longer: --fsync-jitter, or the fsync of --chaos where that is more.
func (s *Settings) syncDelay() Span {
	least, most := s.Chaos.Fsync.Min, s.Chaos.Fsync.Max
	return Span{max(s.Jitter.Least, least), max(s.Jitter.Most, most)}
}

// chaotic reports whether faults are injected on the way to the ledger.
func (s *Settings) chaotic() bool { return s.Chaos.Exports() || s.Chaos.Fsync.Max > time.Duration(0) }
