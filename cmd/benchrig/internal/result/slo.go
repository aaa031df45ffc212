package result

// Figure is one figure beside its target.
type Figure struct {
	Name   string  `json:"name"`
	Target float64 `json:"target"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Pass   bool    `json:"pass"`
	Note   string  `json:"note,omitempty"` // why it was not judged
}

// ratedRows is the rate for which the specification states its CPU target.
const ratedRows = 50_000

// level is a service level: what it reads and its target by profile.
type level struct {
	name, unit   string
	micro, macro float64
	value        func(*Result) float64
	byChaos      bool // an injected fault decides it
	byRate       bool // it is stated for the workload's rate, and --rate max is some hundred times that
}

var levels = []level{
	{"record_mean_ns", "ns, in cache", 90, 110, func(r *Result) float64 { return r.Record.HotNS }, false, false},
	{"seal_p99_us", "µs", 350, 450, func(r *Result) float64 { return r.Seal.PerSlice.P99 }, false, false},
	{"export_p99_ms", "ms", 600, 1000, func(r *Result) float64 { return r.Export.Latency.P99 }, true, false},
	{"ordering_wait_p99_ms", "ms", 50, 80, func(r *Result) float64 { return r.OrderingWait.P99 }, true, false},
	{"dup_rate", "%", 0.5, 0.5, func(r *Result) float64 { return percent(r.Export.Dup, r.Export.OK) }, true, false},
	{"cpu_core_percent", "% at 50k rows/s", 35, 45, ratedCPU, false, false},
	{"rss_steady_mib", "MiB", 96, 160, func(r *Result) float64 { return r.RSS.Steady }, true, true}, // what an outage keeps waiting is kept
	{"error_rate", "%", 0.1, 0.1, errorRate, true, false},
	{"reject_rate", "%", 1, 1, rejectRate, false, false},
	{"degraded_longest_s", "s", 30, 30, func(r *Result) float64 { return r.Degraded.Longest }, false, false},
	{"conservation", "units", 0, 0, func(r *Result) float64 { return r.broken() }, false, false},
}

// Judge fills SLO, Reach and Pass. chaos says that faults were injected on the way to the ledger: the levels which such
// a fault decides by itself are shown and not judged, nor what is stated for a rate at --rate max.
func (r *Result) Judge(chaos bool) {
	r.Pass, r.SLO, r.Reach = true, nil, nil
	for _, l := range levels {
		f := Figure{Name: l.name, Unit: l.unit, Target: l.micro, Value: Round(l.value(r))}
		if r.Profile == "macronode" {
			f.Target = l.macro
		}
		if f.Pass = f.Value <= f.Target; !f.Pass && chaos && l.byChaos {
			f.Pass, f.Note = true, "faults injected: shown, not judged"
		}
		if l.name == "seal_p99_us" && f.Value == 0 {
			f.Note = "no seal in the steady state: nothing to judge"
		}
		if !f.Pass && l.byRate && r.Rate.Offered == 0 {
			f.Pass, f.Note = true, "as fast as possible: shown, not judged"
		}
		r.Pass = r.Pass && f.Pass
		r.SLO = append(r.SLO, f)
	}
	for _, a := range aims(r) {
		a.Value = Round(a.Value)
		a.Pass = a.Value <= a.Target
		if a.Name == "rows_per_s" {
			a.Pass = a.Value >= a.Target
		}
		r.Reach = append(r.Reach, a)
	}
}

// aims are the figures this project sets itself for the workload (docs/PERFORMANCE.md).
func aims(r *Result) []Figure {
	export, rss := 100.0, 96.0
	switch r.Workload {
	case "w1":
		export, rss = 25, 40
	case "w4":
		export = 200
	}
	out := []Figure{
		{Name: "record_mean_ns", Unit: "ns, in cache", Target: 6.5, Value: r.Record.HotNS},
		{Name: "export_p99_ms", Unit: "ms", Target: export, Value: r.Export.Latency.P99},
		{Name: "ordering_wait_p99_ms", Unit: "ms", Target: 5, Value: r.OrderingWait.P99},
		{Name: "cpu_core_percent", Unit: "% at 50k rows/s", Target: 2, Value: ratedCPU(r)},
		{Name: "rss_steady_mib", Unit: "MiB", Target: rss, Value: r.RSS.Steady},
	}
	if r.Rate.Offered == 0 && (r.Workload == "w1" || r.Workload == "w2") {
		rows := map[string]float64{"w1": 100e6, "w2": 25e6}[r.Workload]
		out = append(out, Figure{Name: "rows_per_s", Unit: "rows/s", Target: rows, Value: r.Rate.Achieved})
	}
	if r.Workload == "w3" {
		out = append(out,
			Figure{Name: "degraded_s", Unit: "s", Value: r.Degraded.Seconds},
			Figure{Name: "coalesced", Unit: "streams", Value: float64(r.Seal.Coalesced)})
	}
	return out
}

func percent(part, rest uint64) float64 {
	if part == 0 {
		return 0
	}
	return 100 * float64(part) / float64(part+rest)
}

// ratedCPU scales what a higher rate cost down to the rate of the target; a lower rate is not scaled up.
func ratedCPU(r *Result) float64 {
	if r.Rate.Achieved <= ratedRows {
		return r.CPU.Core
	}
	return r.CPU.Core * ratedRows / r.Rate.Achieved
}

func errorRate(r *Result) float64 {
	return percent(r.Export.Fail+r.Export.Retries["remote_5xx"], r.Export.OK+r.Export.Dup)
}

func rejectRate(r *Result) float64 {
	var rejected uint64
	for _, n := range r.Record.Rejected {
		rejected += n
	}
	return percent(rejected, r.Record.Count)
}

// broken is the number of units lost and doubled, and of orders violated.
func (r *Result) broken() float64 {
	return number(r.Conservation.Lost) + number(r.Conservation.Double) + float64(len(r.Conservation.Order))
}
