package rig

// The end of a run: what is open is sealed and drained, then the ledger is read back and compared with what the generator counted.

import (
	"context"
	"fmt"
	"math/big"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/load"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

// calm waits until the last window's slices are acked, for a while: the seal at the end would be a second one at once, and wait for them in its
// lanes, which no window of the workload does.
func (s *session) calm(most time.Duration) {
	for end := time.Now().Add(most); s.rec.Stats().PendingSlices > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// drain seals what is open, waits for the ledger, and closes the recorder. An interrupt does not cut it short.
func (s *session) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.set.Drain)
	defer cancel()
	s.calm(2 * time.Second)
	err := s.rec.Flush(ctx)
	total, longest, missing := s.ready.close()
	s.res.Degraded = result.Degraded{Seconds: total.Seconds(), Longest: longest.Seconds()}
	if len(missing) > 0 {
		s.note("degraded for want of %v", missing)
	}
	s.conservation(s.rec.Stats())
	if cerr := s.rec.Close(ctx); err == nil {
		err = cerr
	}
	s.rec = nil
	return err
}

func (s *session) conservation(st accounting.Stats) {
	sum := func(state string) string {
		total := new(big.Int)
		for _, u := range st.Units {
			total.Add(total, u.Big(state))
		}
		return total.String()
	}
	c := &s.res.Conservation
	c.Recorded, c.Open, c.Pending = sum("recorded"), sum("open"), sum("pending")
	c.Acked, c.Gap, c.Saturated, c.Rejected = sum("acked"), sum("gap"), sum("saturated"), sum("rejected")
}

// prove reads the ledger back and compares it with the generator's totals.
func (s *session) prove(l *load.Load) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	relaxHeap()
	book := conserve.NewBook()
	if err := s.sink.read(ctx, book); err != nil {
		return fmt.Errorf("reading the ledger back: %w", err)
	}
	totals := l.Totals()
	totals[0] += hotCalls
	gen := workload.NewGenerator(s.set.Spec, 0, 1)
	names := s.set.Spec.Names()
	units := new(big.Int)
	diff := book.Compare(func(yield func(conserve.Expected) bool) {
		for i, u := range totals {
			units.Add(units, new(big.Int).SetUint64(u))
			k := gen.Key(uint32(i))
			e := conserve.Expected{Least: u, Most: u, Key: conserve.Key{
				Tenant: k.Tenant, Subject: k.Subject, Namespace: k.Namespace, Dimension: names[k.Dimension],
			}}
			if !yield(e) {
				return
			}
		}
	})
	c := &s.res.Conservation
	c.Ledger, c.Lost, c.Double = diff.Ledger.String(), diff.Lost.String(), diff.Double.String()
	c.Keys, c.Streams, c.Examples = diff.Keys, book.Streams(), diff.Examples
	c.Order = append(c.Order, book.Breaks(10)...)
	s.res.Record.Units = units.String()
	if s.res.Record.Units != c.Recorded {
		s.note("the recorder says that it recorded %s units, the generator counted %s", c.Recorded, s.res.Record.Units)
	}
	s.res.Seal.Rows, s.res.Seal.Bytes = uint64(book.Rows), uint64(book.Bytes)
	return nil
}
