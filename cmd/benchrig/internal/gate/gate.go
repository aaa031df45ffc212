package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// MinCount is the least number of samples a side.
const MinCount = 10

// Options of a gate. Repo and one of Against and Baseline are required.
type Options struct {
	Repo      string // top of the repository; the change is its working tree
	Against   string // commit, branch or tag of the base
	Baseline  string // recorded base, a file
	Waivers   string // waiver file; "": none
	Suite     Suite
	Count     int           // samples a side; 10
	BenchTime time.Duration // of one sample of a benchmark; 50 ms
	Workload  time.Duration // of one run of a workload; 5 s
	HostName  string        // names the machine in verdicts and baselines; the host's name if empty
	Log       func(format string, args ...any)
}

func (o Options) withDefaults() (Options, error) {
	if o.Count == 0 {
		o.Count = MinCount
	}
	if o.BenchTime == 0 {
		o.BenchTime = 50 * time.Millisecond
	}
	if o.Workload == 0 {
		o.Workload = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	switch {
	case o.Count < MinCount:
		return o, fmt.Errorf("%w: %d samples a side, want at least %d", ErrUsage, o.Count, MinCount)
	case o.BenchTime < time.Millisecond || o.Workload < time.Second:
		return o, fmt.Errorf("%w: a sample of %v or a workload of %v is too short to mean anything", ErrUsage, o.BenchTime, o.Workload)
	case len(o.Suite.Groups) == 0 && len(o.Suite.Workloads) == 0:
		return o, fmt.Errorf("%w: nothing to measure", ErrUsage)
	}
	return o, nil
}

// ThisHost describes the machine; name may be empty.
func ThisHost(name string) Host {
	if name == "" {
		name, _ = os.Hostname()
	}
	cpu := cpufeat.Brand()
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return Host{Name: name, CPU: cpu, Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), Path: cpufeat.Selected().String()}
}

// Run compares and judges. The verdict's Pass is the answer; an error means that there is none.
func Run(ctx context.Context, o Options) (*Verdict, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if (o.Against == "") == (o.Baseline == "") {
		return nil, fmt.Errorf("%w: want one of --against REF and --baseline FILE", ErrUsage)
	}
	var waivers *Waivers
	if o.Waivers != "" { // read first: a malformed file must not cost the measurement
		if waivers, err = ReadWaivers(o.Waivers, o.Repo, time.Now()); err != nil {
			return nil, err
		}
	}
	host, start := ThisHost(o.HostName), time.Now()
	var recorded *Baseline
	if o.Baseline != "" {
		if recorded, err = ReadBaseline(o.Baseline); err != nil {
			return nil, err
		}
		if err := recorded.fits(host); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "gate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	v := &Verdict{Schema: VerdictSchema, Host: host, Count: o.Count, BenchTime: o.BenchTime.String(), Alpha: Alpha}
	if v.Commit, err = head(ctx, o.Repo); err != nil {
		return nil, err
	}
	m := &match{o: o, v: v, waivers: waivers, runner: runner{benchTime: o.BenchTime.String(), workload: o.Workload, work: dir}}
	if recorded != nil {
		v.Against = "baseline:" + recorded.Commit
		m.recorded = recorded.samples()
	} else {
		commit, err := resolve(ctx, o.Repo, o.Against)
		if err != nil {
			return nil, err
		}
		v.Against = "ref:" + o.Against + "@" + commit
		tree, remove, err := worktree(ctx, o.Repo, commit, dir)
		if err != nil {
			return nil, err
		}
		defer func() { _ = remove() }()
		o.Log("building %s", v.Against)
		if m.a, err = build(ctx, tree, filepath.Join(dir, "bin-base"), o.Suite); err != nil {
			return nil, notBuilt(ctx, fmt.Errorf("%w: %s does not build with %s; name a commit that does (git log --oneline), or compare with a recorded baseline (--baseline FILE): %w", ErrRef, o.Against, runtime.Version(), err))
		}
	}
	o.Log("building the working tree")
	if m.b, err = build(ctx, o.Repo, filepath.Join(dir, "bin-change"), o.Suite); err != nil {
		return nil, notBuilt(ctx, fmt.Errorf("%w: %w", ErrBuild, err))
	}
	if err := m.judge(ctx); err != nil {
		return nil, err
	}
	v.Seconds = time.Since(start).Seconds()
	return v, nil
}

func notBuilt(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// match is one comparison: a against b, or recorded values against b.
type match struct {
	o        Options
	v        *Verdict
	waivers  *Waivers
	runner   runner
	a, b     *side
	recorded samples
}

// judge measures and fills the verdict's rows.
func (m *match) judge(ctx context.Context) error {
	both, only, err := m.units(ctx)
	if err != nil {
		return err
	}
	base := m.a
	if base == nil {
		base = m.b // recorded: what the machine does to a measurement shows with either binary
	}
	m.o.Log("A/A: %d benchmarks, %d times", len(both), m.o.Count)
	a, aa, err := m.runner.interleave(ctx, base, base, both, m.o.Count, m.runner.benchTime)
	if err != nil {
		return err
	}
	m.o.Log("A/B: %d benchmarks, %d times", len(both), m.o.Count)
	old, changed, err := m.runner.interleave(ctx, m.a, m.b, both, m.o.Count, m.runner.benchTime)
	if err != nil {
		return err
	}
	if m.a == nil {
		old = m.recorded
	}
	results := map[Row]*Result{}
	for row, values := range changed {
		if len(old[row]) > 0 {
			results[row] = compare(row, old[row], values, noise(a[row], aa[row]))
		}
	}
	if err := m.confirm(ctx, both, results); err != nil {
		return err
	}
	for row, r := range results {
		m.waivers.apply(r, changed[row])
	}
	m.v.Pass = true
	for row, r := range results {
		if row.Metric == AllocsOp && r.Delta == 0 {
			continue // says nothing
		}
		m.v.Pass = m.v.Pass && r.Status != Regression
		m.v.Rows = append(m.v.Rows, *r)
	}
	m.v.Rows = append(m.v.Rows, only...)
	slices.SortFunc(m.v.Rows, func(a, b Result) int { return strings.Compare(a.Row.String(), b.Row.String()) })
	if len(results) == 0 {
		return fmt.Errorf("%w: base and change have no benchmark in common; nothing was compared", ErrRef)
	}
	return nil
}

// units are what both sides have, and results for what only one has.
func (m *match) units(ctx context.Context) (both []unit, only []Result, err error) {
	changed, err := m.runner.list(ctx, m.b, m.o.Suite)
	if err != nil {
		return nil, nil, err
	}
	var base []unit
	if m.a != nil {
		if base, err = m.runner.list(ctx, m.a, m.o.Suite); err != nil {
			return nil, nil, errors.Join(ErrRef, err)
		}
	} else {
		for row := range m.recorded {
			if u := (unit{row.Package, row.Name}); !slices.Contains(base, u) {
				base = append(base, u)
			}
		}
	}
	for _, u := range changed {
		if slices.Contains(base, u) {
			both = append(both, u)
		} else {
			only = append(only, Result{Row: Row{u.pkg, u.name, TimeOp}, Status: New})
		}
	}
	for _, u := range base {
		if !slices.Contains(changed, u) && m.a != nil {
			only = append(only, Result{Row: Row{u.pkg, u.name, TimeOp}, Status: Gone})
		}
	}
	return both, only, nil
}

// confirm measures the regressions again, longer; what does not show again was the machine.
func (m *match) confirm(ctx context.Context, units []unit, results map[Row]*Result) error {
	var again []unit
	for _, u := range units {
		for row, r := range results {
			if r.Status == Regression && row.Package == u.pkg && row.Name == u.name && !slices.Contains(again, u) {
				again = append(again, u)
			}
		}
	}
	if len(again) == 0 {
		return nil
	}
	m.o.Log("confirming %d", len(again))
	a, b, err := m.runner.interleave(ctx, m.a, m.b, again, m.o.Count, (2 * m.o.BenchTime).String())
	if err != nil {
		return err
	}
	if m.a == nil {
		a = m.recorded
	}
	for row, r := range results {
		if r.Status != Regression {
			continue
		}
		if second := compare(row, a[row], b[row], r.Noise); second.Status != Regression {
			r.Status, r.Why = Slower, fmt.Sprintf("not confirmed: %+.1f%% in a second, longer measurement", second.Delta)
		}
	}
	return nil
}

// compare judges one row.
func compare(row Row, old, changed []float64, noise float64) *Result {
	r := &Result{Row: row, Old: summarize(old), New: summarize(changed), Delta: delta(old, changed), P: pValue(old, changed), Noise: noise}
	r.Limit, _ = row.Metric.Limit()
	r.Gated, r.Why = row.Gated()
	significant := r.P < Alpha
	switch {
	case significant && r.Delta > math.Max(r.Limit, noise) && r.Gated:
		r.Status = Regression
	case !r.Gated:
		r.Status = Reported
	case significant && r.Delta > 0:
		r.Status = Slower
	case significant && -r.Delta > noise:
		r.Status = Faster
	default:
		r.Status = Same
	}
	return r
}
