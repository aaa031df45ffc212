package gate

import (
	"regexp"
	"strconv"
	"strings"
)

// Metric is what a row measures. Lower is better for all of them.
type Metric string

// The metrics and, by Limit, how much worse than the base they may be.
const (
	TimeOp    Metric = "ns/op"
	AllocsOp  Metric = "allocs/op"
	ExportP95 Metric = "export-p95-ms"
	CPUOp     Metric = "cpu-ns/row"
	RSS       Metric = "rss-MiB"
)

// Limit is the metric's limit in percent; rows of metrics without one are reported only.
func (m Metric) Limit() (percent float64, ok bool) {
	switch m {
	case TimeOp, ExportP95:
		return 10, true
	case CPUOp:
		return 15, true
	case RSS:
		return 20, true
	}
	return 0, false
}

// Row names one measured quantity.
type Row struct {
	Package string `json:"package"` // directory in the repository, "." for the root; "cmd/benchrig" for workloads
	Name    string `json:"name"`    // benchmark with its sub-benchmark, without the processor suffix; "run w1" for a workload
	Metric  Metric `json:"metric"`
}

func (r Row) String() string { return r.Package + " " + r.Name + " " + string(r.Metric) }

// Group is a package's benchmarks that a suite measures: those that the expressions match, element by element as -bench does.
type Group struct {
	Package string
	Bench   string
}

// Suite is what a gate measures.
type Suite struct {
	Groups    []Group
	Workloads []string // names for `benchrig run`
}

// Full is everything the frozen benchmark names cover, and two workloads.
func Full() Suite {
	return Suite{Groups: []Group{
		{".", "^Benchmark(Record|RecordParallel|CounterAdd|Seal|SealMany)$"},
		{"canon", "^Benchmark(Encode|Decode)$"},
		{"internal/asm", "^BenchmarkDigest$"},
		{"pipeline/lane", "^BenchmarkIdempotentPut$"},
		{"pipeline/wal", "^BenchmarkWALCommit$"},
	}, Workloads: []string{"w1", "w2"}}
}

// Short is what CI runs: the rows that stay in cache.
func Short() Suite {
	return Suite{Groups: []Group{
		{".", "^Benchmark(Record|CounterAdd)$/^keys=1$"},
		{"canon", "^BenchmarkEncode$/^rows=(1024|4096)$"},
		{"internal/asm", "^BenchmarkDigest$/^path=.*$/^bytes=(16384|38912)$"},
	}}
}

// SelfTest is the suite whose benchmarks honour RON_ACC_BENCH_EXTRA.
func SelfTest() Suite {
	return Suite{Groups: []Group{{".", "^Benchmark(Record|CounterAdd)$/^keys=1$|^BenchmarkSeal$/^path=.*$/^rows=1024$/^state=hot$"}}}
}

// cacheBytes is what a row's working set may have to be gated. It is far less than a core's L2, because what else runs on the core
// takes its share, too.
const cacheBytes = 256 << 10

// field finds key=value in a benchmark's name.
func field(name, key string) (string, bool) {
	for part := range strings.SplitSeq(name, "/") {
		if v, ok := strings.CutPrefix(part, key+"="); ok {
			return v, true
		}
	}
	return "", false
}

func number(name, key string) (int, bool) {
	v, ok := field(name, key)
	n, err := strconv.Atoi(v)
	return n, ok && err == nil
}

var durable = regexp.MustCompile(`^Benchmark(WAL|IdempotentPut/latency=([1-9]|0\.))`)

// Gated reports whether r's row may fail the gate, and if not, why.
func (r Row) Gated() (ok bool, why string) {
	if _, limited := r.Metric.Limit(); !limited {
		return false, "no limit for " + string(r.Metric)
	}
	if r.Metric != TimeOp {
		return true, ""
	}
	if durable.MatchString(r.Name) {
		return false, "waits for a disk or a timer"
	}
	if s, ok := field(r.Name, "state"); ok && s != "hot" {
		return false, "out of cache by design (state=" + s + ")"
	}
	if n, ok := number(r.Name, "keys"); ok && n*88 > cacheBytes { // a slot, a cell, a base
		return false, "leaves the cache: " + strconv.Itoa(n) + " keys"
	}
	if n, ok := number(r.Name, "rows"); ok {
		if m, many := number(r.Name, "streams"); many {
			n *= m
		}
		if n*40 > cacheBytes {
			return false, "leaves the cache: " + strconv.Itoa(n) + " rows"
		}
	}
	if n, ok := number(r.Name, "bytes"); ok && n > cacheBytes {
		return false, "leaves the cache: " + strconv.Itoa(n) + " bytes"
	}
	return true, ""
}
