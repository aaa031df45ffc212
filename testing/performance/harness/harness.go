// Package harness measures several contenders against each other on a machine that is not quiet: short repetitions in turn,
// the order rotated each round, medians and ratios of the same run. What the machine does to one contender it then does to all.
package harness

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Contender is one way of doing the same work.
type Contender struct {
	Name string
	// Run does n operations as the worker of that number. It is called by one goroutine a worker, at the same time for all workers.
	Run func(worker, n int)
	// Timed, if not nil, is used instead of Run, by one worker: it does n operations and returns the time of the part that counts.
	Timed func(n int) time.Duration
	// Bytes is what one operation processes, for GB/s; 0: not shown.
	Bytes int
	// Setup, if not nil, runs before each repetition, outside the measured time.
	Setup func()
}

// Result is a contender's repetitions, in nanoseconds of wall time an operation.
type Result struct {
	Name   string    `json:"name"`
	NsOp   float64   `json:"ns_op"` // median
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Allocs float64   `json:"allocs_op"` // of the first repetition after the warm-up
	Reps   []float64 `json:"reps"`
	Bytes  int       `json:"bytes,omitempty"`
}

// Config bounds a measurement.
type Config struct {
	Reps    int           // repetitions of each contender; 11
	Target  time.Duration // length of one repetition; 20 ms
	Workers int           // goroutines; 1
}

// Measure runs the contenders interleaved and returns their results in the order given.
func Measure(cs []Contender, cfg Config) []Result {
	cfg.Reps, cfg.Workers = max(cfg.Reps, 1), max(cfg.Workers, 1)
	if cfg.Target <= 0 {
		cfg.Target = 20 * time.Millisecond
	}
	out := make([]Result, len(cs))
	ns := make([]int, len(cs))
	for i, c := range cs {
		out[i] = Result{Name: c.Name, Bytes: c.Bytes}
		ns[i] = calibrate(c, cfg)
	}
	for r := range cfg.Reps {
		for k := range cs {
			i := (k + r) % len(cs)
			var m0, m1 runtime.MemStats
			if r == 0 {
				runtime.ReadMemStats(&m0)
			}
			d := once(cs[i], cfg.Workers, ns[i])
			if r == 0 {
				runtime.ReadMemStats(&m1)
				out[i].Allocs = math.Floor(float64(m1.Mallocs-m0.Mallocs)/float64(ns[i]*cfg.Workers)*100) / 100
			}
			out[i].Reps = append(out[i].Reps, float64(d.Nanoseconds())/float64(ns[i]*cfg.Workers))
		}
	}
	for i := range out {
		s := slices.Sorted(slices.Values(out[i].Reps))
		out[i].NsOp, out[i].Min, out[i].Max = Median(s), s[0], s[len(s)-1]
	}
	return out
}

// calibrate warms a contender up and returns how many operations a worker does in about cfg.Target.
func calibrate(c Contender, cfg Config) int {
	n := 1
	for {
		d := once(c, cfg.Workers, n)
		if d >= cfg.Target/4 || n >= 1<<30 {
			return max(1, int(float64(n)*float64(cfg.Target)/float64(max(d, 1))))
		}
		n *= 4
	}
}

func once(c Contender, workers, n int) time.Duration {
	if c.Setup != nil {
		c.Setup()
	}
	if c.Timed != nil {
		return c.Timed(n)
	}
	if workers == 1 {
		start := time.Now()
		c.Run(0, n)
		return time.Since(start)
	}
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(workers)
	for w := range workers {
		done.Go(func() {
			ready.Done()
			<-start
			c.Run(w, n)
		})
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	done.Wait()
	return time.Since(begin)
}

// Median of sorted values; 0 of none.
func Median(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}
