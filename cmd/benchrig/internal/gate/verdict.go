package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
)

// VerdictSchema is the version of Verdict's JSON.
const VerdictSchema = 1

// Status is what the gate says of a row.
type Status string

// Statuses. Only Regression fails the gate.
const (
	Same       Status = "same"       // no significant difference beyond the limit
	Faster     Status = "faster"     // significantly better, beyond the noise
	Slower     Status = "slower"     // significantly worse, within the limit or the noise
	Regression Status = "regression" // significantly worse beyond both, confirmed
	Waived     Status = "waived"     // a regression that a waiver allows
	Reported   Status = "reported"   // not gated; Why says why
	New        Status = "new"        // not in the base
	Gone       Status = "gone"       // not in the change
)

// Result is one row's comparison.
type Result struct {
	Row
	Old    Summary `json:"old"`
	New    Summary `json:"new"`
	Delta  float64 `json:"delta_percent"` // of the medians; above 0 is worse
	P      float64 `json:"p"`
	Noise  float64 `json:"noise_percent"`
	Limit  float64 `json:"limit_percent"` // 0: none
	Gated  bool    `json:"gated"`
	Status Status  `json:"status"`
	Why    string  `json:"why,omitempty"`
	Waiver *Waiver `json:"waiver,omitempty"`
}

// Host is the machine that measured.
type Host struct {
	Name  string `json:"name"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Go    string `json:"go"`
	Path  string `json:"path"`
}

// Verdict is the gate's machine-readable result.
type Verdict struct {
	Schema    int      `json:"schema"`
	Pass      bool     `json:"pass"`
	Against   string   `json:"against"` // "ref:…@commit" or "baseline:…"
	Commit    string   `json:"commit"`  // of the working tree; "-dirty" appended where it has changes
	Host      Host     `json:"host"`
	Count     int      `json:"count"` // samples a side
	BenchTime string   `json:"benchtime"`
	Alpha     float64  `json:"alpha"`
	Seconds   float64  `json:"seconds"`
	Rows      []Result `json:"rows"`
}

// Failures are the rows that fail the gate.
func (v *Verdict) Failures() (out []Result) {
	for _, r := range v.Rows {
		if r.Status == Regression {
			out = append(out, r)
		}
	}
	return out
}

// WriteJSON writes the verdict. Infinite differences (from zero) are written as ±1e9 percent, since JSON has none.
func (v *Verdict) WriteJSON(w io.Writer) error {
	c := *v
	c.Rows = make([]Result, len(v.Rows))
	for i, r := range v.Rows {
		r.Delta, r.Noise = finite(r.Delta), finite(r.Noise)
		c.Rows[i] = r
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(&c)
}

func finite(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return max(-1e9, min(1e9, f))
}

// WriteTable writes the verdict for people.
func (v *Verdict) WriteTable(w io.Writer) error {
	width := 20
	for _, r := range v.Rows {
		width = max(width, len(r.Name))
	}
	fmt.Fprintf(w, "against %s; %d samples a side of %s, in turn; %s, %d cores, %s, path %s; %s\n", v.Against, v.Count, v.BenchTime, v.Host.CPU, v.Host.Cores, v.Host.Go, v.Host.Path,
		time.Duration(v.Seconds*float64(time.Second)).Round(time.Second))
	fmt.Fprintf(w, "%-*s %-13s %12s %12s %9s %8s %7s %7s  %s\n", width, "row", "metric", "old", "new", "delta", "p", "noise", "limit", "")
	for _, r := range v.Rows {
		limit := "-"
		if r.Gated {
			limit = fmt.Sprintf("%.0f%%", r.Limit)
		}
		mark := string(r.Status)
		if r.Status == Regression {
			mark = "REGRESSION"
		}
		if r.Why != "" {
			mark += ": " + r.Why
		}
		if r.Waiver != nil {
			mark += ": " + r.Waiver.Reason
		}
		if r.Status == New || r.Status == Gone {
			fmt.Fprintf(w, "%-*s %-13s %12s %12s %9s %8s %7s %7s  %s\n", width, r.Name, r.Metric, figure(r.Old), figure(r.New), "", "", "", limit, mark)
			continue
		}
		fmt.Fprintf(w, "%-*s %-13s %12s %12s %+8.2f%% %8.4f %6.1f%% %7s  %s\n", width, r.Name, r.Metric, figure(r.Old), figure(r.New),
			finite(r.Delta), r.P, finite(r.Noise), limit, mark)
	}
	word := "pass"
	if !v.Pass {
		word = fmt.Sprintf("FAIL: %d regressions", len(v.Failures()))
	}
	_, err := fmt.Fprintf(w, "gate: %s\n", word)
	return err
}

func figure(s Summary) string {
	if s.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g", s.Center)
}

// WriteTable writes what the self-test saw for people.
func (r *SelfTestResult) WriteTable(w io.Writer) error {
	passed := 0
	for _, v := range r.AA {
		if v.Pass {
			passed++
		}
	}
	fmt.Fprintf(w, "A/A: %d of %d comparisons passed\n", passed, len(r.AA))
	if r.Seeded != nil {
		gated, caught := 0, 0
		for _, x := range r.Seeded.Rows {
			if x.Gated {
				gated++
			}
			if x.Status == Regression {
				caught++
			}
		}
		fmt.Fprintf(w, "seeded slowdown of %d %%: caught in %d of %d rows\n", SeededSlowdown, caught, gated)
	}
	word := "pass"
	if !r.Pass {
		word = "FAIL"
	}
	_, err := fmt.Fprintf(w, "self-test: %s, %.0f s\n", word, r.Seconds)
	return err
}
