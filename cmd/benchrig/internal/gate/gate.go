package gate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// MinCount is the least number of samples a side.
const MinCount = 10

// Options of a gate. Repo and one of Against and Baseline are required.
type Options struct {
	Repo      string // top of the repository; the change is its working tree
	Against   string // commit, branch or tag of the base
	Baseline  string // recorded base, a file
	Waivers   string // waiver file; "": none
	Suite     Suite
	Count     int           // samples a side; 10
	BenchTime time.Duration // of one sample of a benchmark; 80 ms
	Workload  time.Duration // of one run of a workload; 5 s
	HostName  string        // names the machine in verdicts and baselines; the host's name if empty
	Log       func(format string, args ...any)
}

func (o Options) withDefaults() (Options, error) {
	if o.Count == 0 {
		o.Count = MinCount
	}
	if o.BenchTime == 0 {
		o.BenchTime = 80 * time.Millisecond
	}
	if o.Workload == 0 {
		o.Workload = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	switch {
	case o.Count < MinCount:
		return o, fmt.Errorf("%w: %d samples a side, want at least %d", ErrUsage, o.Count, MinCount)
	case o.BenchTime < time.Millisecond || o.Workload < time.Second:
		return o, fmt.Errorf("%w: a sample of %v or a workload of %v is too short to mean anything", ErrUsage, o.BenchTime, o.Workload)
	case o.Suite.Filter == "" && len(o.Suite.Workloads) == 0:
		return o, fmt.Errorf("%w: nothing to measure", ErrUsage)
	}
	return o, nil
}

// ThisHost describes the machine; name may be empty.
func ThisHost(name string) Host {
	if name == "" {
		name, _ = os.Hostname()
	}
	cpu := cpufeat.Brand()
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return Host{Name: name, CPU: cpu, Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), Path: cpufeat.Selected().String()}
}

// Run compares and judges. The verdict's Pass is the answer; an error means that there is none.
func Run(ctx context.Context, o Options) (*Verdict, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if (o.Against == "") == (o.Baseline == "") {
		return nil, fmt.Errorf("%w: want one of --against REF and --baseline FILE", ErrUsage)
	}
	var waivers *Waivers
	if o.Waivers != "" { // read first: a malformed file must not cost the measurement
		if waivers, err = ReadWaivers(o.Waivers, o.Repo, time.Now()); err != nil {
			return nil, err
		}
	}
	host, start := ThisHost(o.HostName), time.Now()
	var recorded *Baseline
	if o.Baseline != "" {
		if recorded, err = ReadBaseline(o.Baseline); err != nil {
			return nil, err
		}
		if err := recorded.fits(host); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "gate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	v := &Verdict{Schema: VerdictSchema, Host: host, Count: o.Count, BenchTime: o.BenchTime.String(), Alpha: Alpha}
	if v.Commit, err = head(ctx, o.Repo); err != nil {
		return nil, err
	}
	m := &match{o: o, v: v, waivers: waivers, runner: newRunner(o, dir)}
	if recorded != nil {
		v.Against = "baseline:" + recorded.Commit
		m.recorded = recorded.samples()
	} else {
		commit, err := resolve(ctx, o.Repo, o.Against)
		if err != nil {
			return nil, err
		}
		v.Against = "ref:" + o.Against + "@" + commit
		tree, remove, err := worktree(ctx, o.Repo, commit, dir)
		if err != nil {
			return nil, err
		}
		defer func() { _ = remove() }()
		o.Log("building %s", v.Against)
		if m.a, err = build(ctx, tree, filepath.Join(dir, "base-benchrig")); err != nil {
			return nil, notBuilt(ctx, fmt.Errorf("%w: %s does not build with %s; name a commit that does (git log --oneline), or compare with a recorded baseline (--baseline FILE): %w", ErrRef, o.Against, runtime.Version(), err))
		}
	}
	o.Log("building the working tree")
	if m.b, err = build(ctx, o.Repo, filepath.Join(dir, "benchrig")); err != nil {
		return nil, notBuilt(ctx, fmt.Errorf("%w: %w", ErrBuild, err))
	}
	if err := m.judge(ctx); err != nil {
		return nil, err
	}
	v.Seconds = time.Since(start).Seconds()
	return v, nil
}

func notBuilt(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func newRunner(o Options, dir string) runner {
	return runner{benchTime: o.BenchTime, workload: o.Workload, work: dir, unsteady: map[Row]string{}}
}
