package gate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/bench"
)

// SeededSlowdown is what the self-test seeds, in percent.
const SeededSlowdown = 15

// SelfTestResult says what a self-test saw.
type SelfTestResult struct {
	Schema  int        `json:"schema"`
	Pass    bool       `json:"pass"`
	AA      []*Verdict `json:"aa"`     // the working tree against itself: all must pass
	Seeded  *Verdict   `json:"seeded"` // against itself, 15 % slower: must fail
	Seconds float64    `json:"seconds"`
}

// SelfTestRun compares the working tree with itself runs times, which must pass, and with a copy of itself that is slower by
// SeededSlowdown percent, which must fail: every gated row of it that is not noisier than its limit must be caught. An ErrSelfTest says what went wrong.
func SelfTestRun(ctx context.Context, o Options, runs int) (*SelfTestResult, error) {
	if o.Suite.Filter == "" {
		o.Suite = Short()
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	dir, err := os.MkdirTemp("", "gate-self-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o.Log("building the working tree")
	tree, err := build(ctx, o.Repo, filepath.Join(dir, "benchrig"))
	if err != nil {
		return nil, notBuilt(ctx, fmt.Errorf("%w: %w", ErrBuild, err))
	}
	slow := *tree
	slow.env = append(slow.env, fmt.Sprintf("%s=%d", bench.ExtraEnv, SeededSlowdown))
	commit, err := head(ctx, o.Repo)
	if err != nil {
		return nil, err
	}
	once := func(name string, b *side) (*Verdict, error) {
		v := &Verdict{Schema: VerdictSchema, Against: name, Commit: commit, Host: ThisHost(o.HostName), Count: o.Count, BenchTime: o.BenchTime.String(), Alpha: Alpha}
		m := &match{o: o, v: v, a: tree, b: b, runner: newRunner(o, dir)}
		begin := time.Now()
		err := m.judge(ctx)
		v.Seconds = time.Since(begin).Seconds()
		return v, err
	}
	res := &SelfTestResult{Schema: VerdictSchema, Pass: true}
	var wrong []string
	for i := range runs {
		o.Log("self-test: A/A %d of %d", i+1, runs)
		v, err := once("self:A/A", tree)
		if err != nil {
			return nil, err
		}
		res.AA = append(res.AA, v)
		for _, f := range v.Failures() {
			wrong = append(wrong, fmt.Sprintf("A/A %d: %s was found %.1f%% slower than itself", i+1, f.Row, f.Delta))
		}
	}
	o.Log("self-test: %d %% seeded", SeededSlowdown)
	if res.Seeded, err = once(fmt.Sprintf("self:+%d%%", SeededSlowdown), &slow); err != nil {
		return nil, err
	}
	if res.Seeded.Pass {
		wrong = append(wrong, fmt.Sprintf("a slowdown of %d %% passed", SeededSlowdown))
	}
	for _, r := range res.Seeded.Rows {
		if r.Gated && r.Status != Regression && r.Noise <= r.Limit { // a row that is noisier than its limit is held to its noise, in any comparison
			wrong = append(wrong, fmt.Sprintf("a slowdown of %d %% was not caught in %s: measured %+.1f%%, p %.4f, noise of this machine %.1f%%", SeededSlowdown, r.Row, r.Delta, r.P, r.Noise))
		}
	}
	res.Seconds = time.Since(start).Seconds()
	if len(wrong) > 0 {
		res.Pass = false
		return res, fmt.Errorf("%w: %s", ErrSelfTest, strings.Join(wrong, "; "))
	}
	return res, nil
}

// Record measures the working tree alone, as a baseline.
func Record(ctx context.Context, o Options) (*Baseline, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gate-record-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	commit, err := head(ctx, o.Repo)
	if err != nil {
		return nil, err
	}
	o.Log("building the working tree")
	tree, err := build(ctx, o.Repo, filepath.Join(dir, "benchrig"))
	if err != nil {
		return nil, notBuilt(ctx, fmt.Errorf("%w: %w", ErrBuild, err))
	}
	r := newRunner(o, dir)
	o.Log("%d rounds", o.Count)
	got, err := r.interleave(ctx, []*side{tree}, o.Suite, o.Count, o.BenchTime)
	if err != nil {
		return nil, err
	}
	b := &Baseline{Schema: BaselineSchema, Commit: commit, Date: time.Now().UTC().Truncate(time.Second), Host: ThisHost(o.HostName), BenchTime: o.BenchTime.String()}
	for row, values := range got[0] {
		b.Rows = append(b.Rows, BaselineRow{row, values})
	}
	sortRows(b.Rows)
	return b, b.validate()
}
