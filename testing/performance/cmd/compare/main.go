//go:build linux

// Command compare measures this library against its peers in one run and prints tables with medians and ratios.
// What it compares: record, growth, seal, encode, digest, wal, or all. See the package comment of the module's root.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
	"github.com/ron-accounting/ron-accounting/testing/performance/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options of a comparison.
type options struct {
	harness.Config
	keys []int
	full bool
	only *regexp.Regexp
	out  io.Writer
	log  io.Writer
	all  []table
}

// table is one printed block, also as JSON.
type table struct {
	Title   string           `json:"title"`
	Base    string           `json:"base"`
	Workers int              `json:"workers"`
	Results []harness.Result `json:"results"`
}

var comparisons = []struct {
	name string
	run  func(*options) error
}{{"record", record}, {"growth", growth}, {"seal", seal}, {"encode", encode}, {"digest", digest}, {"wal", walCommit}}

// run returns the exit code: 0, 1 for a comparison that could not be made, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: compare [flags] record|growth|seal|encode|digest|wal|all ...")
		fs.PrintDefaults()
	}
	o := options{out: stdout, log: stderr}
	fs.IntVar(&o.Reps, "reps", 11, "interleaved repetitions of each contender")
	fs.DurationVar(&o.Target, "target", 20*time.Millisecond, "length of one repetition")
	fs.BoolVar(&o.full, "full", false, "record: the label-based peers at 2M keys, too (some 10 GB)")
	sizes := fs.String("keys", "1,10000,200000,2000000", "record: numbers of keys")
	only := fs.String("only", "", "contenders to measure, a regular expression; empty: all")
	jsonOut := fs.String("json", "", "write the results as JSON to this file, - for stdout instead of the tables")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(s, &n); err != nil || n < 1 || n > 20_000_000 {
			fmt.Fprintf(stderr, "compare: -keys %q: want numbers from 1 to 20000000, separated by commas\n", *sizes)
			return 2
		}
		o.keys = append(o.keys, n)
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintf(stderr, "compare: -only: %v\n", err)
		return 2
	}
	if *jsonOut == "-" {
		o.out = stderr
	}
	names := fs.Args()
	if slices.Contains(names, "all") {
		names = nil
		for _, c := range comparisons {
			names = append(names, c.name)
		}
	}
	if len(names) == 0 {
		fs.Usage()
		return 2
	}
	fmt.Fprintf(o.out, "%s, %d cores, %s %s/%s, path %s, %d interleaved repetitions of %v, medians\n\n",
		cpuName(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, cpufeat.Selected(), o.Reps, o.Target)
	for _, name := range names {
		i := slices.IndexFunc(comparisons, func(c struct {
			name string
			run  func(*options) error
		}) bool {
			return c.name == name
		})
		if i < 0 {
			fmt.Fprintf(stderr, "compare: %q is none of record, growth, seal, encode, digest, wal, all\n", name)
			return 2
		}
		if err := comparisons[i].run(&o); err != nil {
			fmt.Fprintf(stderr, "compare: %s: %v\n", name, err)
			return 1
		}
		debug.FreeOSMemory()
	}
	if *jsonOut != "" {
		b, err := json.MarshalIndent(o.all, "", " ")
		if err == nil && *jsonOut == "-" {
			_, err = stdout.Write(append(b, '\n'))
		} else if err == nil {
			err = os.WriteFile(*jsonOut, append(b, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(stderr, "compare:", err)
			return 1
		}
	}
	return 0
}

// print measures the contenders and prints the block.
func (o *options) print(title, base string, workers int, cs []harness.Contender) {
	cfg := o.Config
	cfg.Workers = workers
	cs = slices.DeleteFunc(cs, func(c harness.Contender) bool { return !o.only.MatchString(c.Name) })
	rs := harness.Measure(cs, cfg)
	harness.Table(o.out, title, base, rs)
	o.all = append(o.all, table{title, base, workers, rs})
}

func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				return strings.TrimSpace(v)
			}
		}
	}
	return runtime.GOARCH
}
