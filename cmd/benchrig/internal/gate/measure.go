package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

// samples are the measured values of each row.
type samples map[Row][]float64

func (s samples) add(from samples) {
	for r, v := range from {
		s[r] = append(s[r], v...)
	}
}

// unit is what one process measures: a single benchmark, or a workload.
type unit struct {
	pkg, name string // name: a benchmark's or "run w1"
}

// runner measures units of a side. Tests replace it.
type runner struct {
	benchTime string
	workload  time.Duration // length of a workload's run
	work      string        // scratch directory for workloads
}

var processors = regexp.MustCompile(`-\d+$`)

// list returns the units that a side has of the suite, by running each benchmark once.
func (r *runner) list(ctx context.Context, b *side, s Suite) ([]unit, error) {
	var units []unit
	for _, g := range s.Groups {
		bin := b.bins[g.Package]
		if bin == "" {
			continue
		}
		got, err := r.bench(ctx, b, g.Package, g.Bench, "1x")
		if err != nil {
			return nil, err
		}
		for row := range got {
			if row.Metric == TimeOp {
				units = append(units, unit{row.Package, row.Name})
			}
		}
	}
	if b.rig != "" {
		for _, w := range s.Workloads {
			if _, err := command(ctx, r.work, nil, b.rig, "run", w, "--help"); err == nil {
				units = append(units, unit{"cmd/benchrig", "run " + w})
			}
		}
	}
	slices.SortFunc(units, func(a, b unit) int {
		if c := strings.Compare(a.pkg, b.pkg); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return units, nil
}

// measure runs one unit once.
func (r *runner) measure(ctx context.Context, b *side, u unit, benchTime string) (samples, error) {
	if w, ok := strings.CutPrefix(u.name, "run "); ok {
		return r.run(ctx, b, w)
	}
	elements := strings.Split(u.name, "/")
	for i, e := range elements {
		elements[i] = "^" + regexp.QuoteMeta(e) + "$"
	}
	got, err := r.bench(ctx, b, u.pkg, strings.Join(elements, "/"), benchTime)
	if err == nil && len(got) == 0 {
		err = fmt.Errorf("%w: %s %s printed no result", ErrRun, u.pkg, u.name)
	}
	return got, err
}

// bench runs the benchmarks that match and reads their results.
func (r *runner) bench(ctx context.Context, b *side, pkg, match, benchTime string) (samples, error) {
	out, err := command(ctx, filepath.Join(b.tree, pkg), b.env, b.bins[pkg], "-test.run=^$", "-test.bench="+match, "-test.benchtime="+benchTime, "-test.count=1", "-test.benchmem", "-test.timeout=10m")
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrRun, pkg, err)
	}
	got := samples{}
	for rd := benchfmt.NewReader(strings.NewReader(out), pkg); rd.Scan(); {
		res, ok := rd.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		name := "Benchmark" + processors.ReplaceAllString(string(res.Name.Full()), "")
		if v, ok := res.Value("sec/op"); ok {
			got[Row{pkg, name, TimeOp}] = []float64{v * 1e9}
		}
		if v, ok := res.Value(string(AllocsOp)); ok {
			got[Row{pkg, name, AllocsOp}] = []float64{v}
		}
	}
	return got, nil
}

// run runs a workload and takes its export latency, CPU cost and memory.
func (r *runner) run(ctx context.Context, b *side, workload string) (samples, error) {
	dir, err := os.MkdirTemp(r.work, "run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "result.json")
	// Exit code 4 is a missed service level: the figures are there, and judging them is not the gate's business.
	if _, err := command(ctx, dir, b.env, b.rig, "run", workload, "--duration", r.workload.String(), "--quiet", "--json", file); err != nil && !strings.Contains(err.Error(), "exit status 4") {
		return nil, fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	var res struct {
		Export struct {
			Latency struct {
				P95 float64 `json:"p95"`
			} `json:"latency_ms"`
		} `json:"export"`
		CPU struct {
			PerRow float64 `json:"ns_per_row"`
		} `json:"cpu"`
		RSS struct {
			Steady float64 `json:"steady"`
		} `json:"rss_mib"`
	}
	if err := json.Unmarshal(raw, &res); err != nil {
		return nil, fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	row := func(m Metric) Row { return Row{"cmd/benchrig", "run " + workload, m} }
	return samples{row(ExportP95): {res.Export.Latency.P95}, row(CPUOp): {res.CPU.PerRow}, row(RSS): {res.RSS.Steady}}, nil
}

// interleave measures the units of both sides count times in turn, the order alternating. A nil side is not measured.
func (r *runner) interleave(ctx context.Context, a, b *side, units []unit, count int, benchTime string) (sa, sb samples, err error) {
	sa, sb = samples{}, samples{}
	for i := range count {
		for _, u := range units {
			order := []struct {
				side *side
				into samples
			}{{a, sa}, {b, sb}}
			if i%2 == 1 {
				slices.Reverse(order)
			}
			for _, o := range order {
				if o.side == nil {
					continue
				}
				got, err := r.measure(ctx, o.side, u, benchTime)
				if err != nil {
					return nil, nil, err
				}
				o.into.add(got)
			}
		}
	}
	return sa, sb, nil
}
