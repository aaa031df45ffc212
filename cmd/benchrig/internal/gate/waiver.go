package gate

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// WaiverSchema is the version of the waiver file's JSON.
const WaiverSchema = 1

// Waiver allows one row to be slower, for a stated reason. It names the baseline that was recorded with the slowdown in, so
// that the row is held to its new figure and not let go.
type Waiver struct {
	Row
	Reason   string `json:"reason"`   // why the slowdown is accepted, such as a dependency's new version
	Risk     string `json:"risk"`     // what it may cost whom
	Baseline string `json:"baseline"` // the updated baseline, relative to the repository
	Expires  string `json:"expires"`  // YYYY-MM-DD, the last day it holds

	updated []float64
}

// Waivers is a checked waiver file.
type Waivers struct{ byRow map[Row]*Waiver }

// ReadWaivers reads and checks a waiver file: every waiver complete, not expired, with a baseline that can be read and has the row.
// It reports every fault.
func ReadWaivers(path, repo string, now time.Time) (*Waivers, error) {
	var file struct {
		Schema  int      `json:"schema"`
		Waivers []Waiver `json:"waivers"`
	}
	const do = `want {"schema":1,"waivers":[{"name","metric","reason","risk","baseline","expires":"YYYY-MM-DD"}]}`
	if err := readJSON(path, &file, ErrWaiver); err != nil {
		return nil, fmt.Errorf("%w; %s", err, do)
	}
	if file.Schema != WaiverSchema {
		return nil, fmt.Errorf("%w: %s: schema %d, this gate reads %d; %s", ErrWaiver, path, file.Schema, WaiverSchema, do)
	}
	var faults []error
	w := &Waivers{byRow: map[Row]*Waiver{}}
	for i := range file.Waivers {
		v := &file.Waivers[i]
		bad := func(format string, a ...any) {
			faults = append(faults, fmt.Errorf("%w: %s: waiver %d (%s): "+format, append([]any{ErrWaiver, path, i + 1, v.Row}, a...)...))
		}
		if v.Name == "" || v.Metric == "" {
			bad("name and metric must name a row as the gate's table does")
		}
		if w.byRow[v.Row] != nil {
			bad("the row is waived twice")
		}
		w.byRow[v.Row] = v
		if len(strings.Fields(v.Reason)) < 3 {
			bad("reason %.80q: say why the slowdown is accepted", v.Reason)
		}
		if len(strings.Fields(v.Risk)) < 3 {
			bad("risk %.80q: say what it may cost whom", v.Risk)
		}
		if day, err := time.Parse(time.DateOnly, v.Expires); err != nil {
			bad("expires %.40q, want YYYY-MM-DD", v.Expires)
		} else if now.After(day.AddDate(0, 0, 1)) {
			bad("expired on %s: remove it, or renew it with a new risk note", v.Expires)
		}
		if v.Baseline == "" || filepath.IsAbs(v.Baseline) || !filepath.IsLocal(v.Baseline) {
			bad("baseline %.80q, want the path of the updated baseline in the repository", v.Baseline)
			continue
		}
		b, err := ReadBaseline(filepath.Join(repo, v.Baseline))
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: waiver %d: %w", ErrWaiver, path, i+1, err))
			continue
		}
		if v.updated = b.samples()[v.Row]; v.updated == nil {
			bad("the updated baseline %s lacks the row", v.Baseline)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return w, nil
}

// apply turns a regression that a waiver covers into Waived, if the row keeps to the updated baseline within the limit.
func (w *Waivers) apply(r *Result, values []float64) {
	if w == nil || r.Status != Regression {
		return
	}
	v := w.byRow[r.Row]
	if v == nil {
		return
	}
	if d := delta(v.updated, values); d > max(r.Limit, r.Noise) {
		r.Why = fmt.Sprintf("a waiver exists, but this is %.1f%% above its updated baseline too", d)
		return
	}
	r.Status, r.Waiver = Waived, v
}
