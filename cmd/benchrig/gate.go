package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/gate"
)

func newGateCommand() *cobra.Command {
	var o gate.Options
	var record, file string
	var short, selfTest bool
	var runs int
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Fail where this working tree is slower than another commit or a recorded baseline",
		Long: `Gate builds both sides, measures them in turn at least ten times, the base twice in each round, and so knows what it shows against
itself. It fails on a significant change beyond max(limit, noise) that shows again in two more measurements: time/op 10 %,
export p95 10 %, CPU/op 15 %, RSS 20 %. Rows that leave the cache or wait for a disk are reported, not gated.

A waiver file lets a row be slower for a stated reason: {"schema":1,"waivers":[{"name","metric","reason","risk","baseline","expires"}]},
where baseline is the updated one. Exit codes: 0 passed; 2 wrong usage, base, baseline or waiver; 5 a regression, or a self-test failed.`,
		Example: `  benchrig gate --short --against HEAD~1
  benchrig gate --self-test --json self.json
  benchrig gate --short --write-baseline testing/performance/baselines
  benchrig gate --short --baseline testing/performance/baselines/HOST-CPU/COMMIT.json --waivers waivers.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if n := len(set(o.Against != "", o.Baseline != "", selfTest, record != "")); n != 1 {
				return usagef("gate: got %d of --against, --baseline, --self-test and --write-baseline, want exactly one", n)
			}
			if err := gateFlags(cmd.Flags(), selfTest, record != ""); err != nil {
				return err
			}
			if runs < 1 {
				return usagef("gate: --runs: got %d, want at least 1", runs)
			}
			if err := writable(file); err != nil {
				return usagef("gate: --json: %s %w", file, err)
			}
			if record != "" {
				if err := os.MkdirAll(record, 0o755); err != nil {
					return usagef("gate: --write-baseline: %w", err)
				}
			}
			if o.Suite = gate.Full(); short {
				o.Suite = gate.Short()
			}
			ctx, out, errs := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			o.Log = func(format string, args ...any) { fmt.Fprintf(errs, "gate: "+format+"\n", args...) }
			if o.Repo, err = gate.FindRepo(ctx, "."); err != nil {
				return gateError(err)
			}
			switch {
			case selfTest:
				o.Suite = gate.Short()
				res, err := gate.SelfTestRun(ctx, o, runs)
				if res != nil {
					err = errors.Join(err, res.WriteTable(out), writeDoc(file, res, out))
				}
				return gateError(err)
			case record != "":
				b, err := gate.Record(ctx, o)
				if err != nil {
					return gateError(err)
				}
				path := b.PathBelow(record)
				fmt.Fprintln(out, path)
				return b.Write(path)
			}
			v, err := gate.Run(ctx, o)
			if err != nil {
				return gateError(err)
			}
			if err := writeVerdict(v, file, out); err != nil {
				return err
			}
			if !v.Pass {
				return exitWith(exitRegression, nil)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Against, "against", "", "compare with this commit, branch or tag (`REF`)")
	f.StringVar(&o.Baseline, "baseline", "", "compare with the values recorded in `FILE`")
	f.BoolVar(&selfTest, "self-test", false, "show that this machine lets A/A pass and a seeded slowdown fail")
	f.StringVar(&record, "write-baseline", "", "measure the working tree and record it below `DIR`, as {host}-{cpu}/{commit}.json")
	f.BoolVar(&short, "short", false, "only the benchmarks that stay in the cache")
	f.StringVar(&o.Waivers, "waivers", "", "waiver `FILE`")
	f.StringVar(&file, "json", "", "write the verdict as JSON to `FILE`, - for the standard output")
	f.IntVar(&runs, "runs", 10, "A/A comparisons of the self-test")
	f.IntVar(&o.Count, "count", gate.MinCount, "rounds")
	f.DurationVar(&o.BenchTime, "benchtime", 0, "length of one sample of a benchmark (80ms)")
	f.DurationVar(&o.Workload, "duration", 0, "length of one run of a workload (5s)")
	f.StringVar(&o.HostName, "host", "", "name of this machine in verdicts and baselines (its host name)")
	return cmd
}

// gateFlags refuses what the asked-for comparison would not look at: a waiver that waives nothing is a surprise kept for later.
func gateFlags(f *pflag.FlagSet, selfTest, record bool) error {
	what, idle := "a comparison", []string{"runs"}
	switch {
	case selfTest:
		what, idle = "--self-test", []string{"waivers", "duration"}
	case record:
		what, idle = "--write-baseline", []string{"waivers", "runs", "json"}
	}
	for _, name := range idle {
		if f.Changed(name) {
			return usagef("gate: --%s means nothing to %s: leave it out", name, what)
		}
	}
	return nil
}

// set is the flags that are on.
func set(flags ...bool) (on []bool) {
	for _, f := range flags {
		if f {
			on = append(on, f)
		}
	}
	return on
}

// writeVerdict writes the table to out and the JSON to the file; - writes the JSON alone.
func writeVerdict(v *gate.Verdict, file string, out io.Writer) error {
	if file == "-" {
		return v.WriteJSON(out)
	}
	if err := v.WriteTable(out); err != nil || file == "" {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(v.WriteJSON(f), f.Close())
}

// gateError gives what was wrongly asked for exit code 2, and a failed self-test that of a regression.
func gateError(err error) error {
	for _, usage := range []error{gate.ErrUsage, gate.ErrRef, gate.ErrBaseline, gate.ErrWaiver} {
		if errors.Is(err, usage) {
			return exitWith(exitUsage, err)
		}
	}
	if errors.Is(err, gate.ErrSelfTest) {
		return exitWith(exitRegression, err)
	}
	return err
}
