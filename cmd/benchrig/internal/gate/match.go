package gate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// match is one comparison: a against b, or recorded values against b.
type match struct {
	o        Options
	v        *Verdict
	waivers  *Waivers
	runner   runner
	a, b     *side
	recorded samples // where a is nil
}

// sets are the samples of one measurement: of the base, of the base against itself (or of the change, where the base is recorded), of the change.
type sets struct{ base, first, second, changed samples }

func (m *match) measure(ctx context.Context, s Suite, count int) (out sets, err error) {
	sides := []*side{m.a, m.a, m.b}
	if m.a == nil {
		sides = []*side{m.b, m.b}
	}
	got, err := m.runner.interleave(ctx, sides, s, count, m.o.BenchTime)
	if err != nil {
		return out, err
	}
	out.first, out.second = got[0], got[1]
	if m.a == nil {
		out.base, out.changed = m.recorded, join(got[0], got[1])
	} else {
		out.base, out.changed = join(got[0], got[1]), got[2]
	}
	return out, nil
}

// judge measures and fills the verdict's rows.
func (m *match) judge(ctx context.Context) error {
	if m.a != nil { // the change's benchmarks that the base lacks are new, not a reason to fail
		if _, err := m.runner.sample(ctx, m.a, Suite{Filter: m.o.Suite.Filter}, m.o.BenchTime/10); err != nil {
			return fmt.Errorf("%w: its benchrig has no such benchmarks; name a later commit: %w", ErrRef, err)
		}
	}
	m.o.Log("%d rounds", m.o.Count)
	s, err := m.measure(ctx, m.o.Suite, m.o.Count)
	if err != nil {
		return err
	}
	results := map[Row]*Result{}
	for row, values := range s.changed {
		if old := s.base[row]; len(old) > 0 {
			results[row] = compare(row, m.runner.unsteady[row], old, values, noise(s.first[row], s.second[row]))
		} else if row.Metric != AllocsOp {
			results[row] = &Result{Row: row, New: summarize(values), Status: New}
		}
	}
	for row, values := range s.base {
		if len(s.changed[row]) == 0 && row.Metric != AllocsOp && m.a != nil {
			results[row] = &Result{Row: row, Old: summarize(values), Status: Gone}
		}
	}
	if err := m.confirm(ctx, s, results); err != nil {
		return err
	}
	compared := 0
	m.v.Pass = true
	for row, r := range results {
		m.waivers.apply(r, s.changed[row])
		if r.Status != New && r.Status != Gone {
			compared++
		}
		if row.Metric == AllocsOp && r.Delta == 0 {
			continue // says nothing
		}
		m.v.Pass = m.v.Pass && r.Status != Regression
		m.v.Rows = append(m.v.Rows, *r)
	}
	slices.SortFunc(m.v.Rows, func(a, b Result) int { return strings.Compare(a.Row.String(), b.Row.String()) })
	if compared == 0 {
		return fmt.Errorf("%w: base and change have no benchmark in common; nothing was compared", ErrRef)
	}
	return nil
}

// confirmations is how often a regression must show again.
const confirmations = 2

// confirm measures the regressions again, longer; what does not show again was the machine.
func (m *match) confirm(ctx context.Context, s sets, results map[Row]*Result) error {
	for i := range confirmations {
		var rows []Row
		for row, r := range results {
			if r.Status == Regression {
				rows = append(rows, row)
			}
		}
		if len(rows) == 0 {
			return nil
		}
		m.o.Log("confirming %d rows (%d of %d)", len(rows), i+1, confirmations)
		again, err := m.measure(ctx, m.o.Suite.only(rows), m.o.Count)
		if err != nil {
			return err
		}
		if m.a != nil {
			s.base = join(s.base, again.base)
		}
		s.changed = join(s.changed, again.changed)
		for _, row := range rows {
			r := results[row]
			margin := math.Max(r.Limit, math.Max(r.Noise, noise(again.first[row], again.second[row])))
			once, p := delta(again.base[row], again.changed[row]), pValue(s.base[row], s.changed[row])
			if once <= margin || p >= Alpha {
				r.Status, r.Why = Slower, fmt.Sprintf("not confirmed: %+.1f%% when measured again (margin %.1f%%)", once, margin)
				continue
			}
			r.Delta, r.P = delta(s.base[row], s.changed[row]), p
			r.Old, r.New = summarize(s.base[row]), summarize(s.changed[row])
		}
	}
	return nil
}

// compare judges one row. unsteady says why it is not gated, if it is not.
func compare(row Row, unsteady string, old, changed []float64, noise float64) *Result {
	r := &Result{Row: row, Old: summarize(old), New: summarize(changed), Delta: delta(old, changed), P: pValue(old, changed), Noise: noise}
	limit, limited := row.Metric.Limit()
	r.Limit, r.Gated, r.Why = limit, limited && unsteady == "", unsteady
	if !limited {
		r.Why = "no limit for " + string(row.Metric)
	}
	significant := r.P < Alpha
	switch {
	case !r.Gated:
		r.Status = Reported
	case significant && r.Delta > math.Max(r.Limit, noise):
		r.Status = Regression
	case significant && r.Delta > 0:
		r.Status = Slower
	case significant && -r.Delta > noise:
		r.Status = Faster
	default:
		r.Status = Same
	}
	return r
}
