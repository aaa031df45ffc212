package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/capture"
	"github.com/ron-accounting/ron-accounting/pprof"
)

// heapRate is the runtime's own default: a sample each so many bytes.
const heapRate = 512 << 10

func newCaptureCommand() *cobra.Command {
	var out, version, host string
	cmd := &cobra.Command{
		Use:   "capture KIND[,KIND…] -- run …",
		Short: "Capture profiles, traces or perf figures of a workload, with flame graphs",
		Long: `Capture runs what stands after -- and captures it from the first row offered to the last. Kinds:
  cpu         samples on the CPU, by stage         heap        live heap at the end of the load
  mutex       waiting for locks                    block       blocked on channels, locks, conditions
  goroutine   every goroutine's stack              fgprof      wall clock, on and off the CPU
  trace       execution trace, for go tool trace   perf        perf stat and perf record (alone; runs the workload twice)

The files go to pprof/archive/<version>/<host>-<cpu>/<workload>, or below --out: the profiles, flame.html, a .svg and a .folded of
each, and capture.json that describes them. The exit code is the run's. capture diff compares two of them.`,
		Example: `  benchrig capture cpu -- run w1
  benchrig capture cpu,heap,mutex,block --out captures -- run w2 --rate max
  benchrig capture trace --version v1.0.0 --host laptop -- run w1 --duration 2s
  benchrig capture perf --out captures -- run w3 --short`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash != 1 || len(args) < 2 || args[1] != "run" {
				return usagef("capture: got %q, want KIND[,KIND…] -- run …", strings.Join(args, " "))
			}
			dir := out
			if dir == "" {
				dir = capture.Archive(version, host)
			}
			if args[0] == "perf" {
				return capturePerf(cmd, dir, args[1:])
			}
			plan := &capture.Plan{Dir: dir, Labels: map[string]string{"version": version, "command": "benchrig " + strings.Join(args[1:], " ")}}
			for name := range strings.SplitSeq(args[0], ",") {
				k, err := pprof.ParseKind(name)
				if err != nil {
					return usagef("capture: %w, or perf alone", err)
				}
				plan.Kinds = append(plan.Kinds, k)
				if k == pprof.Heap {
					runtime.MemProfileRate = heapRate // before anything is allocated that the profile is about
				}
			}
			if err := (pprof.Options{Dir: dir, Kinds: plan.Kinds}).Validate(); err != nil {
				return usagef("capture: %w", err)
			}
			run := newRunCommandWith(plan)
			run.SetArgs(args[2:])
			run.SetOut(cmd.OutOrStdout())
			run.SetErr(cmd.ErrOrStderr())
			run.SilenceErrors, run.SilenceUsage = true, true
			run.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("capture: run: %w", err) })
			return run.ExecuteContext(cmd.Context())
		},
	}
	cmd.AddCommand(newCaptureDiffCommand())
	cmd.Flags().StringVar(&out, "out", "", "write below `DIR` instead of the archive")
	cmd.Flags().StringVar(&version, "version", capture.Version(), "name of the `version` in the archive")
	cmd.Flags().StringVar(&host, "host", "", "`name` of this machine in the archive (its host name)")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		kinds := []string{"perf"}
		for _, k := range pprof.Kinds() {
			kinds = append(kinds, string(k))
		}
		slices.Sort(kinds)
		return kinds, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// capturePerf runs the workload under perf, in a process of its own.
func capturePerf(cmd *cobra.Command, dir string, args []string) error {
	name := "run"
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		name = strings.ToLower(args[1])
	}
	written, err := capture.Perf(cmd.Context(), dir+"/"+name, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
	for _, path := range written {
		fmt.Fprintln(cmd.ErrOrStderr(), "captured", path)
	}
	if errors.Is(err, capture.ErrNoPerf) {
		return exitWith(exitFailure, err)
	}
	return err
}
