package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/capture"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/live"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/redact"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/report"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/rig"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

// runOutput says where a run's findings go.
type runOutput struct {
	json, report string
	quiet        bool
	capture      *capture.Plan
	flight       flightPlan
}

func newRunCommand() *cobra.Command { return newRunCommandWith(nil) }

// newRunCommandWith is run, with a capture of each workload where plan is not nil.
func newRunCommandWith(plan *capture.Plan) *cobra.Command {
	out := runOutput{capture: plan}
	var config, flight, bounds string
	cmd := &cobra.Command{
		Use:   "run [w1|w2|w3|w4|all]",
		Short: "Run a workload end to end and prove that nothing was lost",
		Long: `Run offers a workload to a recorder as an open model (every batch has an intended start, whether or not those before
it are done), lets it seal and export to a ledger, then reads the ledger back and compares it, key by key, with what the
generator itself counted.

  w1  hot key       1 tenant, 1 dimension, 1,000 keys by Zipf's law (1.2), 50,000 rows/s
  w2  wide tenancy  1,000 tenants, 3 dimensions, 100 keys each, 100,000 rows/s
  w3  edge bursts   200,000 distinct rows within 1 s, every 10 s; window 60 s
  w4  WAL stress    w2 with a write-ahead log whose fsyncs take 0 to 5 ms longer

Exit codes: 0 passed; 1 failed to run; 2 wrong usage; 3 units lost, doubled or out of order; 4 a service level missed.`,
		Example: `  benchrig run w1
  benchrig run w2 --rate max --duration 5s
  benchrig run w4 --chaos outage=2s@3s --json result.json --report result.html
  benchrig run w4 --flight traces --flight-bounds wal=20ms,seal=100ms
  benchrig run all --short
  benchrig run --config w2.json`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: append(slices.Clone(workload.Names), "all"), // for shell completion; what is wrong is said by runSettings
	}
	given := addSettings(cmd.Flags())
	cmd.Flags().StringVar(&config, "config", "", "read the settings from this JSON `FILE`; flags go before it")
	cmd.Flags().StringVar(&out.json, "json", "", "write the result as JSON to `FILE`, - for the standard output")
	cmd.Flags().StringVar(&out.report, "report", "", "write a self-contained HTML page to `FILE`")
	cmd.Flags().StringVar(&flight, "flight", "", "record the last seconds, and write a trace below `DIR` when a stage takes longer than its bound")
	cmd.Flags().StringVar(&bounds, "flight-bounds", "", "other bounds, `STAGE=D` with commas between, than record=2ms (64 calls), seal=250ms, wal=50ms (an fsync), export=600ms")
	cmd.Flags().BoolVar(&out.quiet, "quiet", false, "no progress and no summary")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("duration") && cmd.Flags().Changed("mins") {
			return usagef("run: got --duration and --mins, want one of them")
		}
		sets, err := runSettings(args, config, *given)
		if err != nil {
			return usagef("run: %w", err)
		}
		if out.flight, err = parseFlight(flight, bounds); err != nil {
			return usagef("run: %w", err)
		}
		for _, path := range []string{out.json, out.report} { // said now, not when the run's findings would be lost
			dir := filepath.Dir(path)
			made := slices.ContainsFunc(sets, func(s *rig.Settings) bool {
				return s.Dir != "" && (filepath.Clean(s.Dir) == dir || filepath.Dir(s.Dir) == dir) // by the run itself
			})
			if _, err := os.Stat(dir); err != nil && made {
				continue
			}
			if err := writable(path); err != nil {
				return usagef("run: %s %w", path, err)
			}
		}
		return runAll(cmd.Context(), sets, out, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// setting is one flag as it was given.
type setting struct{ name, value string }

// settingFlag is the flag of one option, as pflag wants it.
type settingFlag struct {
	o     rig.Option
	given *[]setting
}

func (f settingFlag) Set(v string) error {
	*f.given = append(*f.given, setting{f.o.Name, v})
	return nil
}
func (f settingFlag) String() string { return "" }
func (f settingFlag) Type() string   { return f.o.Value } // the help names the value so

// addSettings defines a flag for each of the rig's options and returns the list that collects those given, in order.
func addSettings(flags *pflag.FlagSet) *[]setting {
	given := new([]setting)
	for _, o := range rig.Options {
		f := settingFlag{o, given}
		if o.Value == "" {
			flags.BoolFunc(o.Name, o.Help, f.Set)
		} else {
			flags.Var(f, o.Name, o.Help)
		}
	}
	flags.SortFlags = false
	return given
}

// runSettings makes the settings of each workload to run.
func runSettings(args []string, config string, given []setting) ([]*rig.Settings, error) {
	name := ""
	if len(args) > 0 {
		name = strings.ToLower(args[0])
	}
	var doc []byte
	if config != "" {
		var err error
		if doc, err = os.ReadFile(config); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	names := []string{name}
	switch {
	case name == "all" && config != "":
		return nil, errors.New("config: a file describes one workload; got all on the command line")
	case name == "all":
		names = workload.Names
	case name == "" && config == "":
		return nil, fmt.Errorf("want one of %s, all, or --config FILE", strings.Join(workload.Names, ", "))
	}
	var sets []*rig.Settings
	for _, n := range names {
		s, err := oneSetting(n, len(names) > 1, config, doc, given)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return sets, nil
}

// oneSetting makes the settings of one workload. among says that it is one of several: each then has a directory of its own.
func oneSetting(name string, among bool, config string, doc []byte, given []setting) (s *rig.Settings, err error) {
	if config != "" {
		if s, err = rig.FromJSON(doc, name); err != nil {
			return nil, fmt.Errorf("config %s: %w", config, err)
		}
	} else if s, err = rig.Defaults(name); err != nil {
		return nil, err
	}
	for _, g := range given {
		if err := s.Set(g.name, g.value); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
	}
	if among && s.Dir != "" {
		s.Dir = filepath.Join(s.Dir, name)
	}
	return s, s.Finish()
}

// runAll runs the workloads one after another and writes what they found. An interrupt ends the current one early, with its
// proof and summary, and starts no other.
func runAll(ctx context.Context, sets []*rig.Settings, out runOutput, stdout, stderr io.Writer) error {
	human := stdout
	if out.json == "-" {
		human = stderr
	}
	var results []*result.Result
	var flames []report.Flame
	var failed []error // what did not run; the others are reported all the same
	for _, set := range sets {
		if ctx.Err() != nil {
			break
		}
		r, flame, err := runOne(ctx, set, out, human, stderr)
		if bad := new(accounting.OptionError); errors.As(err, &bad) {
			return usagef("%s: %w", set.Spec.Name, err)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", set.Spec.Name, err))
			continue
		}
		results = append(results, r)
		if flame != "" {
			flames = append(flames, report.Flame{Title: strings.ToUpper(r.Workload) + ": where the CPU time went", Graph: flame})
		}
	}
	if len(results) == 0 {
		return errors.Join(failed...)
	}
	if out.json != "" {
		if err := writeJSON(out.json, results, len(sets), stdout); err != nil {
			return err
		}
	}
	if out.report != "" {
		page, err := report.Page(results, flames...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(out.report, page, 0o644); err != nil {
			return err
		}
	}
	if err := verdict(results); codeOf(err) == exitLoss || failed == nil {
		return err
	}
	return errors.Join(failed...)
}

// runOne runs one workload, and captures it where that is asked for. flame is the CPU's flame graph for a report.
func runOne(ctx context.Context, set *rig.Settings, out runOutput, human, stderr io.Writer) (r *result.Result, flame template.HTML, err error) {
	hooks := rig.Hooks{}
	progress := live.New(stderr)
	if !out.quiet {
		fmt.Fprintf(stderr, "%s: %s, for %v into %s\n", set.Spec.Name, set.Spec.Title, set.Duration, redact.Addresses(set.Sink))
		hooks.Tick, hooks.Phase, hooks.Say = progress.Tick, progress.Phase, progress.Say
	}
	var written []string
	switch {
	case out.capture != nil:
		hooks.Load = func() (func(*result.Result) error, error) {
			stop, err := out.capture.Start(set.Spec.Name)
			return func(r *result.Result) (err error) { written, err = stop(r); return err }, err
		}
	case out.report != "":
		hooks.Load = func() (func(*result.Result) error, error) {
			stop, err := capture.CPU()
			return func(*result.Result) (err error) { flame, err = stop(); return err }, err
		}
	}
	flown := func() string { return "" }
	if out.flight.Dir != "" {
		f, stop, err := out.flight.start(set.Spec.Name)
		if err != nil {
			return nil, "", err
		}
		hooks.Stage, flown = f.Observe, stop
	}
	r, err = rig.Run(ctx, set, hooks)
	if !out.quiet {
		progress.Done()
	}
	said := flown()
	if err != nil {
		return nil, "", err
	}
	if said != "" {
		r.Notes = append(r.Notes, said, "the flight recorder's cost is in the figures")
	}
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, "interrupted: ended early")
	}
	if hooks.Load != nil {
		r.Notes = append(r.Notes, "a profile was taken during the load: its cost is in the figures")
	}
	if !out.quiet {
		r.Summary(human, result.Style{Color: live.Colored(human)})
		for _, path := range written {
			fmt.Fprintln(human, "  captured", path)
		}
	}
	return r, flame, nil
}

// writeJSON writes one result, or several under "runs".
func writeJSON(path string, results []*result.Result, asked int, stdout io.Writer) error {
	var doc any
	if asked > 1 {
		pass := len(results) == asked
		for _, r := range results {
			pass = pass && r.Pass
		}
		doc = map[string]any{"schema": 1, "runs": results, "pass": pass}
	} else if len(results) == 1 {
		doc = results[0]
	}
	return writeDoc(path, doc, stdout)
}

// verdict is the exit code of all results: a loss weighs more than a service level missed.
func verdict(results []*result.Result) error {
	code := exitOK
	for _, r := range results {
		switch {
		case !r.Conservation.Intact():
			return exitWith(exitLoss, nil)
		case !r.Pass:
			code = exitSLO
		}
	}
	if code != exitOK {
		return exitWith(code, nil)
	}
	return nil
}
