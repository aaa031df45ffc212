// Package result is what a run says: the JSON document (schema 1), the service levels of the specification, the figures that
// this project sets itself, and the summary for people.
package result

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/proc"
)

// Result is one run. Field names are fixed by contract; more may be added. Unit totals are decimal strings.
type Result struct {
	Schema       int            `json:"schema"`
	Workload     string         `json:"workload"`
	Profile      string         `json:"profile"`
	Seed         uint64         `json:"seed"`
	Config       map[string]any `json:"config"`
	Host         proc.Host      `json:"host"`
	DurationS    float64        `json:"duration_s"`
	Rate         Rate           `json:"rate"`
	Record       Record         `json:"record"`
	Seal         Seal           `json:"seal"`
	Export       Export         `json:"export"`
	OrderingWait Quantiles      `json:"ordering_wait_ms"`
	Degraded     Degraded       `json:"degraded"`
	WAL          WAL            `json:"wal"`
	CPU          CPU            `json:"cpu"`
	RSS          RSS            `json:"rss_mib"`
	Conservation Conservation   `json:"conservation"`
	SLO          []Figure       `json:"slo"`
	Reach        []Figure       `json:"reach"` // the project's own, stricter figures: shown, not judged
	Pass         bool           `json:"pass"`
	Refused      *Refusals      `json:"refused,omitempty"`
	Notes        []string       `json:"notes,omitempty"`
	Series       []Point        `json:"series"` // one a second; in a run of more than 600 seconds one each 2, 4, 8, …
}

// Rate is in rows a second. Offered is 0 for --rate max.
type Rate struct {
	Offered  float64 `json:"offered"`
	Achieved float64 `json:"achieved"`
}

// Record is the hot path as the callers saw it.
type Record struct {
	Count    uint64            `json:"count"`
	Units    string            `json:"units"`
	Rejected map[string]uint64 `json:"rejected"` // rows, by the error's text
	HotNS    float64           `json:"hot_ns"`   // one thread, one key in the cache, before the load, median of 64 rounds: what the specification's target is for
	Latency  Quantiles         `json:"latency_ns"`
	Lag      Quantiles         `json:"lag_us"`
}

// Seal counts what was sealed and acked.
type Seal struct {
	Slices    uint64    `json:"slices"`
	Rows      uint64    `json:"rows"`
	Bytes     uint64    `json:"bytes"`
	PerSlice  Quantiles `json:"per_slice_us"`       // CPU time: a handful of seals a run, so that one that lost the processor would be the p99
	First     float64   `json:"first_us,omitempty"` // a slice of the first seal, where its keys were new (--cold, w3): not in PerSlice
	Coalesced uint64    `json:"coalesced"`          // streams left to a later window
}

// Export is the way from the commit to the ledger's ack.
type Export struct {
	OK      uint64            `json:"ok"`
	Dup     uint64            `json:"dup"`
	Retries map[string]uint64 `json:"retries"`
	Fail    uint64            `json:"fail"`
	Latency Quantiles         `json:"latency_ms"`
}

// Refusals are requests to an adapter that were refused during the load, as they must be (--chaos oversize, ratio).
type Refusals struct {
	Oversize uint64    `json:"oversize"`
	Ratio    uint64    `json:"ratio"`
	Wrong    uint64    `json:"wrong"` // not answered with 413
	Latency  Quantiles `json:"latency_ms"`
}

// Degraded is the time without readiness.
type Degraded struct {
	Seconds float64 `json:"seconds"`
	Longest float64 `json:"longest_s"`
}

// WAL is the write-ahead log's share.
type WAL struct {
	Enabled bool      `json:"enabled"`
	Fsyncs  uint64    `json:"fsyncs"`
	Fsync   Quantiles `json:"fsync_ms"`
	Peak    uint64    `json:"peak_bytes"`
	Corrupt uint64    `json:"corrupt"`
}

// CPU is in percent of one core. Core is without the generator, whose share was measured by a run without a recorder.
type CPU struct {
	Core      float64 `json:"core_percent"`
	Generator float64 `json:"generator_core_percent"`
	PerRow    float64 `json:"ns_per_row"` // Core, per row recorded
}

// RSS is resident memory. Steady is the median of the second half's anonymous and shared memory; Peak counts mapped files as well, which the kernel takes back
// when it wants to.
type RSS struct {
	Steady float64 `json:"steady"`
	Peak   float64 `json:"peak"`
	Anon   float64 `json:"anon"`
}

// Conservation is the account of every unit. The recorder's own figures come first; Ledger, Lost and Double are read
// back from the ledger, per key, by code that shares nothing with the recorder.
type Conservation struct {
	Recorded  string   `json:"recorded"`
	Open      string   `json:"open"`
	Pending   string   `json:"pending"`
	Acked     string   `json:"acked"`
	Gap       string   `json:"gap"`
	Saturated string   `json:"saturated"`
	Rejected  string   `json:"rejected"`
	Ledger    string   `json:"ledger"`
	Lost      string   `json:"lost"`
	Double    string   `json:"double"`
	Streams   int      `json:"streams"`
	Keys      int      `json:"keys"`
	Order     []string `json:"order_violations"` // breaks of a chain, at most the first ten
	Examples  []string `json:"examples,omitempty"`
}

// Intact reports whether nothing is lost, doubled or out of order.
func (c Conservation) Intact() bool {
	return c.Lost == "0" && c.Double == "0" && len(c.Order) == 0
}

// Quantiles of a distribution.
type Quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Of returns the quantiles of h, each divided by unit.
func Of(h *hdrhistogram.Histogram, unit float64) Quantiles {
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(q float64) float64 { return Round(float64(h.ValueAtQuantile(q)) / unit) }
	return Quantiles{Round(h.Mean() / unit), at(50), at(95), at(99), at(99.9), Round(float64(h.Max()) / unit)}
}

// Round keeps four significant digits: more would be noise.
func Round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 4-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Point is one second of a run, or as many as the series says.
type Point struct {
	T        float64 `json:"t"` // seconds from the start
	Rate     float64 `json:"rate"`
	RecordNS float64 `json:"record_ns"`
	LagP99US float64 `json:"lag_p99_us"`
	ExportMS float64 `json:"export_p99_ms"`
	Pending  float64 `json:"pending"`
	Backlog  float64 `json:"backlog"`
	RSSMiB   float64 `json:"rss_mib"`
	CPU      float64 `json:"core_percent"` // generator included
	WALMiB   float64 `json:"wal_mib"`
	Ready    bool    `json:"ready"`
}
