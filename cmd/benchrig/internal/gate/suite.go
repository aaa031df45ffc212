package gate

import "fmt"

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
	Name   string `json:"name"` // of a benchmark, as benchrig bench names it, or "run w1"
	Metric Metric `json:"metric"`
}

func (r Row) String() string { return fmt.Sprintf("%s %s", r.Name, r.Metric) }

// Suite is what a gate measures.
type Suite struct {
	Filter    string   // for benchrig bench; "": no benchmarks
	Workloads []string // for benchrig run
}

// Full is every benchmark and two workloads.
func Full() Suite { return Suite{Filter: ".", Workloads: []string{"w1", "w2"}} }

// Short is what CI runs: the rows that stay in the cache.
func Short() Suite {
	return Suite{Filter: `^(Record/keys=1|CounterAdd/keys=1|Encode/rows=(1024|4096)|Digest/bytes=(16384|38912))$`}
}
