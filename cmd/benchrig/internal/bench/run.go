package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// ExtraEnv makes every case do so many percent more operations than it says.
const ExtraEnv = "RON_ACC_BENCH_EXTRA"

// Options of a run. The zero value is completed by defaults.
type Options struct {
	Time    time.Duration // of one measurement of a case; 200 ms
	Count   int           // measurements of each case; 1
	Latency time.Duration // of the mock sink
	Spread  bool          // set all cases up first and measure their chunks in turn, so that what disturbs the machine for a while meets them all
	Dir     string        // for the ledger's file; "": a temporary directory, removed afterwards
}

// Result is one measurement.
type Result struct {
	Name     string  `json:"name"`
	Unsteady string  `json:"unsteady,omitempty"`
	N        int     `json:"n"`
	NS       float64 `json:"ns_per_op"`
	Best     float64 `json:"best_ns_per_op"`
	MBs      float64 `json:"mb_per_s,omitempty"`
	Bytes    float64 `json:"bytes_per_op"`
	Allocs   float64 `json:"allocs_per_op"`
}

// chunks is how many chunks a measurement is made of.
const chunks = 20

// Run measures the cases one after another and hands each result to each.
func Run(ctx context.Context, cases []Case, o Options, each func(Result)) (err error) {
	if o.Time == 0 {
		o.Time = 200 * time.Millisecond
	}
	extra, err := extraOps()
	if err != nil {
		return err
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if o.Spread {
		return measure(ctx, cases, o, extra, dir, each)
	}
	for i := range cases {
		if err := measure(ctx, cases[i:i+1], o, extra, fmt.Sprintf("%s/%d", dir, i), each); err != nil {
			return err
		}
	}
	return nil
}

// extraOps is the share of operations done and not said.
func extraOps() (float64, error) {
	text := os.Getenv(ExtraEnv)
	if text == "" {
		return 0, nil
	}
	percent, err := strconv.ParseFloat(text, 64)
	if err != nil || percent < 0 || percent > 1000 {
		return 0, fmt.Errorf("%s: got %q, want 0 to 1000 (percent)", ExtraEnv, text)
	}
	return percent / 100, nil
}

// running is a case that is set up.
type running struct {
	op
	n      int // operations a chunk
	result Result
	total  time.Duration
}

// measure sets the cases up and measures their chunks in turn.
func measure(ctx context.Context, cases []Case, o Options, extra float64, dir string, each func(Result)) (err error) {
	all := make([]*running, 0, len(cases))
	for i, c := range cases {
		own := fmt.Sprintf("%s/%d", dir, i)
		if err := os.MkdirAll(own, 0o700); err != nil {
			return err
		}
		made, err := c.make(&env{ctx, own, o.Latency})
		if made.done != nil {
			defer func() { _ = made.done() }()
		}
		r := &running{op: made}
		if err == nil {
			runtime.GC()
			r.n, err = calibrate(ctx, made, o.Time/chunks)
		}
		if err != nil {
			return fmt.Errorf("bench %s: %w", c.Name, err)
		}
		all = append(all, r)
	}
	for range max(1, o.Count) {
		for i, r := range all {
			r.result, r.total = Result{Name: cases[i].Name, Unsteady: cases[i].Unsteady}, 0
		}
		for range chunks {
			for _, r := range all {
				if err := r.chunk(ctx, extra); err != nil {
					return fmt.Errorf("bench %s: %w", r.result.Name, err)
				}
			}
		}
		for _, r := range all {
			each(r.finish())
		}
	}
	return nil
}

func (r *running) chunk(ctx context.Context, extra float64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took, err := r.run(r.n + int(float64(r.n)*extra+0.5))
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	r.total += took
	res := &r.result
	res.N += r.n
	if per := float64(took) / float64(r.n); res.Best == 0 || per < res.Best {
		res.Best = per
	}
	res.Bytes += float64(after.TotalAlloc - before.TotalAlloc)
	res.Allocs += float64(after.Mallocs - before.Mallocs)
	return nil
}

func (r *running) finish() Result {
	res := r.result
	n := float64(res.N)
	res.NS, res.Bytes, res.Allocs = float64(r.total)/n, res.Bytes/n, res.Allocs/n
	if r.bytes > 0 {
		res.MBs = float64(r.bytes) / res.NS * 1e3
	}
	return res
}

// calibrate returns how many operations take about d.
func calibrate(ctx context.Context, o op, d time.Duration) (int, error) {
	for n := 1; ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		took, err := o.run(n)
		if err != nil {
			return 0, err
		}
		if took >= d/2 || n >= 1<<30 {
			return max(1, int(float64(n)*float64(d)/float64(max(took, 1)))), nil
		}
		n = max(n+1, min(n*100, int(float64(n)*float64(d)/float64(max(took, 1)))))
	}
}
