package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/crash"
)

func newCrashCommand() *cobra.Command {
	var o crash.Options
	var file string
	cmd := &cobra.Command{
		Use:   "crash",
		Short: "Kill a recorder over and over and prove that nothing was lost or counted twice",
		Long: `Crash starts itself as a child that records a load like w4's into a ledger that fails and loses answers, with a WAL and a counter
file, kills it with SIGKILL at a random moment or a random call to the file system, also while it recovers, and starts it again.
At the end ledger, WAL and counter file are compared, key by key, with an oracle in a mapping of its own; then a last life drains,
and the ledger alone is compared.

With --power-cut the WAL lies on an ext4 of its own that is shut down by FS_IOC_SHUTDOWN, and the counter file goes with it: what was
sealed must be there, and of what was open no more than was counted comes back from its checkpoints. That needs root; elsewhere it is skipped, and the reason is said.

Exit codes: 0 nothing lost, or skipped; 1 failed to run; 2 wrong usage; 3 units lost, doubled or out of order.`,
		Example: `  benchrig crash --iterations 100
  benchrig crash --iterations 200 --power-cut --json crash.json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().IntVar(&o.Iterations, "iterations", 100, "how often to kill, `N`")
	cmd.Flags().BoolVar(&o.PowerCut, "power-cut", false, "cut the power of the WAL's file system at each kill")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "keep ledger and WAL in `D`, which must hold no earlier run's (default: a temporary directory, removed afterwards)")
	cmd.Flags().StringVar(&o.Shared, "shm", "", "directory on a tmpfs for the counter file (/dev/shm)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the moments, `N`")
	cmd.Flags().StringVar(&file, "json", "", "write the result as JSON to `FILE`, - for the standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Iterations < 1 || o.Iterations > 1_000_000 {
			return usagef("crash: iterations: got %d, want 1 to 1000000", o.Iterations)
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Command = func(c *crash.Child) *osexec.Cmd { return osexec.Command(self, childArgs(c)...) }
		stderr := cmd.ErrOrStderr()
		o.Note = func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
		o.Progress = func(done int, r *crash.Result) {
			if done%50 == 0 || done == o.Iterations {
				fmt.Fprintf(stderr, "%d killed, %d of them before they had recovered, %d at a call to the file system\n", done, r.InRecovery, r.AtCalls)
			}
		}
		return runCrash(cmd.Context(), o, file, cmd.OutOrStdout())
	}
	return cmd
}

// childArgs is the command line of a child; newCrashChildCommand reads it.
func childArgs(c *crash.Child) []string {
	args := []string{"crash-child", "--dir", c.Dir, "--wal", c.WAL, "--counters", c.Counters, "--seed", strconv.FormatUint(c.Seed, 10), "--die-at", strconv.Itoa(c.DieAt), "--checkpoint", c.Every.String()}
	if c.Finish {
		args = append(args, "--finish")
	}
	return args
}

func newCrashChildCommand() *cobra.Command {
	c := &crash.Child{}
	cmd := &cobra.Command{Use: "crash-child", Short: "One life of the recorder that crash kills", Hidden: true, Args: cobra.NoArgs}
	cmd.Flags().StringVar(&c.Dir, "dir", "", "ledger and oracle")
	cmd.Flags().StringVar(&c.WAL, "wal", "", "directory of the WAL")
	cmd.Flags().StringVar(&c.Counters, "counters", "", "counter file")
	cmd.Flags().Uint64Var(&c.Seed, "seed", 1, "of the load")
	cmd.Flags().IntVar(&c.DieAt, "die-at", 0, "call to the file system that ends it")
	cmd.Flags().DurationVar(&c.Every, "checkpoint", 0, "between checkpoints of the counters")
	cmd.Flags().BoolVar(&c.Finish, "finish", false, "record nothing, drain and end")
	cmd.Flags().BoolVar(&c.Log, "log", false, "the recorder's log to the standard error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context(), cmd.OutOrStdout()) }
	return cmd
}

// runCrash runs it and says what was found.
func runCrash(ctx context.Context, o crash.Options, file string, stdout io.Writer) error {
	if err := writable(file); err != nil {
		return usagef("--json: %s %w", file, err)
	}
	r, err := crash.Run(ctx, o)
	if r != nil && file != "" {
		if jerr := writeDoc(file, r, stdout); jerr != nil {
			return errors.Join(err, jerr)
		}
	}
	if errors.Is(err, crash.ErrSkipped) {
		fmt.Fprintln(stdout, "SKIPPED:", r.Skipped)
		return nil
	}
	if err != nil {
		return err
	}
	if file != "-" {
		sayCrash(stdout, r)
	}
	if !r.Pass {
		return exitWith(exitLoss, fmt.Errorf("crash: lost %s, double %s, %d breaks of order", r.Drained.Lost, r.Drained.Double, len(r.Drained.Breaks)+len(r.AtKill.Breaks)))
	}
	return nil
}

func sayCrash(w io.Writer, r *crash.Result) {
	fmt.Fprintf(w, "%d kills in %.0f s: %d before the child had recovered, %d at a call to the file system, %d with a power cut; %d lives found open units; counter file: %v\n",
		r.Iterations, r.DurationS, r.InRecovery, r.AtCalls, r.PowerCuts, r.FoundOpen, r.CounterFile)
	fmt.Fprintf(w, "%d slices of %d streams in %d epochs; %d keys, counted between %s and %s units\n", r.Slices, r.Streams, r.Epoch, r.Keys, r.Least, r.Most)
	say := func(name string, p *crash.Proof) {
		mark := "✓"
		if p.Lost != "0" || p.Double != "0" || len(p.Breaks) > 0 {
			mark = "✗"
		}
		fmt.Fprintf(w, "%s %-34s found %s  lost %s  double %s  (%d keys open, %d slices pending, %d gaps)\n", mark, name, p.Found, p.Lost, p.Double, p.Open, p.Pending, p.Gaps)
		for _, b := range append(p.Breaks, p.Examples...) {
			fmt.Fprintln(w, "   ", b)
		}
	}
	say("ledger, WAL and counter file", &r.AtKill)
	say("ledger alone, after draining", &r.Drained)
}
