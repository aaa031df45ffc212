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
const chunks = 10

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
	for i, c := range cases {
		own := fmt.Sprintf("%s/%d", dir, i)
		if err := os.MkdirAll(own, 0o700); err != nil {
			return err
		}
		if err := one(&env{ctx, own, o.Latency}, c, o, extra, each); err != nil {
			return fmt.Errorf("bench %s: %w", c.Name, err)
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

func one(e *env, c Case, o Options, extra float64, each func(Result)) (err error) {
	made, err := c.make(e)
	if made.done != nil {
		defer func() { err = errors.Join(err, made.done()) }()
	}
	if err != nil {
		return err
	}
	runtime.GC()
	n, err := calibrate(e.ctx, made, o.Time/chunks)
	if err != nil {
		return err
	}
	for range max(1, o.Count) {
		r := Result{Name: c.Name, Unsteady: c.Unsteady}
		var total time.Duration
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range chunks {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			took, err := made.run(n + int(float64(n)*extra+0.5))
			if err != nil {
				return err
			}
			total += took
			r.N += n
			if per := float64(took) / float64(n); r.Best == 0 || per < r.Best {
				r.Best = per
			}
		}
		runtime.ReadMemStats(&after)
		r.NS = float64(total) / float64(r.N)
		if made.bytes > 0 {
			r.MBs = float64(made.bytes) / r.NS * 1e3
		}
		r.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(r.N)
		r.Allocs = float64(after.Mallocs-before.Mallocs) / float64(r.N)
		each(r)
	}
	return nil
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
