package bench

import (
	"context"
	"regexp"
	"time"
)

// Case is one benchmark.
type Case struct {
	Name string // without "Benchmark", like Record/keys=1
	// Unsteady says why the figure moves without any change to the code: it leaves the cache, or waits for a disk or a timer. "": it is steady.
	Unsteady string
	make     func(*env) (op, error)
}

// op runs n operations and returns how long they took, set-up between them left out.
type op struct {
	run   func(n int) (time.Duration, error)
	bytes int // processed by an operation; 0: not given as a rate
	done  func() error
}

// env is what cases may use.
type env struct {
	ctx     context.Context
	dir     string        // for files
	latency time.Duration // of the mock sink
}

const (
	leavesCache = "leaves the cache"
	waits       = "waits for a disk or a timer"
	schedules   = "wakes goroutines"
)

// Cases lists every case whose name matches; nil matches all.
func Cases(match *regexp.Regexp) (out []Case) {
	for _, list := range [][]Case{recordCases(), sealCases(), codecCases(), putCases()} {
		for _, c := range list {
			if match == nil || match.MatchString(c.Name) {
				out = append(out, c)
			}
		}
	}
	return out
}

// timed is an op whose n operations run without a pause between them.
func timed(f func(n int) error) func(int) (time.Duration, error) {
	return func(n int) (time.Duration, error) {
		start := time.Now()
		err := f(n)
		return time.Since(start), err
	}
}
