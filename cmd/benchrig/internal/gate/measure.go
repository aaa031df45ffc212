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
)

// samples are the measured values of each row.
type samples map[Row][]float64

func (s samples) add(from samples) {
	for r, v := range from {
		s[r] = append(s[r], v...)
	}
}

// join returns the samples of several measurements together.
func join(parts ...samples) samples {
	all := samples{}
	for _, p := range parts {
		all.add(p)
	}
	return all
}

// runner takes samples of a side.
type runner struct {
	benchTime time.Duration
	workload  time.Duration // length of a workload's run
	work      string        // scratch directory
	unsteady  map[Row]string
}

// sample measures everything of the suite once.
func (r *runner) sample(ctx context.Context, b *side, s Suite, benchTime time.Duration) (samples, error) {
	got := samples{}
	if s.Filter != "" {
		if err := r.bench(ctx, b, s.Filter, benchTime, got); err != nil {
			return nil, err
		}
	}
	for _, w := range s.Workloads {
		if err := r.run(ctx, b, w, got); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// bench runs the benchmarks that match.
func (r *runner) bench(ctx context.Context, b *side, filter string, benchTime time.Duration, into samples) error {
	out, err := command(ctx, r.work, b.env, b.rig, "bench", "--filter", filter, "--benchtime", benchTime.String(), "--spread", "--json", "-")
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrRun, err)
	}
	var doc struct {
		Schema  int
		Results []struct {
			Name     string
			Unsteady string
			Best     float64 `json:"best_ns_per_op"`
			Allocs   float64 `json:"allocs_per_op"`
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Schema != 1 || len(doc.Results) == 0 {
		return fmt.Errorf("%w: bench --filter %s printed no results of schema 1 (%v)", ErrRun, filter, err)
	}
	for _, x := range doc.Results {
		row := Row{x.Name, TimeOp}
		into[row] = append(into[row], x.Best)
		into[Row{x.Name, AllocsOp}] = append(into[Row{x.Name, AllocsOp}], float64(int(x.Allocs)))
		if x.Unsteady != "" {
			r.unsteady[row] = x.Unsteady
		}
	}
	return nil
}

// run runs a workload and takes its export latency, CPU cost and memory.
func (r *runner) run(ctx context.Context, b *side, workload string, into samples) error {
	dir, err := os.MkdirTemp(r.work, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "result.json")
	// Exit code 4 is a missed service level: the figures are there, and judging them is not the gate's business.
	if _, err := command(ctx, dir, b.env, b.rig, "run", workload, "--duration", r.workload.String(), "--quiet", "--json", file); err != nil && !strings.Contains(err.Error(), "exit status 4") {
		return fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	var res struct {
		Export struct {
			Latency struct{ P95 float64 } `json:"latency_ms"`
		}
		CPU struct {
			PerRow float64 `json:"ns_per_row"`
		}
		RSS struct{ Steady float64 } `json:"rss_mib"`
	}
	if err := json.Unmarshal(raw, &res); err != nil {
		return fmt.Errorf("%w: run %s: %w", ErrRun, workload, err)
	}
	for m, v := range map[Metric]float64{ExportP95: res.Export.Latency.P95, CPUOp: res.CPU.PerRow, RSS: res.RSS.Steady} {
		row := Row{"run " + workload, m}
		into[row] = append(into[row], v)
	}
	return nil
}

// interleave samples every side count times in turn, in an order that rotates. A side that is there twice is measured twice.
func (r *runner) interleave(ctx context.Context, sides []*side, s Suite, count int, benchTime time.Duration) ([]samples, error) {
	out := make([]samples, len(sides))
	for i := range out {
		out[i] = samples{}
	}
	for round := range count {
		for i := range sides {
			k := (i + round) % len(sides)
			got, err := r.sample(ctx, sides[k], s, benchTime)
			if err != nil {
				return nil, err
			}
			out[k].add(got)
		}
	}
	return out, nil
}

// only is the part of the suite that measures the rows.
func (s Suite) only(rows []Row) Suite {
	var names []string
	out := Suite{}
	for _, r := range rows {
		if w, ok := strings.CutPrefix(r.Name, "run "); ok {
			if !slices.Contains(out.Workloads, w) {
				out.Workloads = append(out.Workloads, w)
			}
		} else if q := regexp.QuoteMeta(r.Name); !slices.Contains(names, q) {
			names = append(names, q)
		}
	}
	if len(names) > 0 {
		out.Filter = "^(" + strings.Join(names, "|") + ")$"
	}
	return out
}
