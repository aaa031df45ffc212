package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// subcommands lists the commands, each made afresh, so that tests run them in-process. A command writes to
// cmd.OutOrStdout and cmd.ErrOrStderr only, returns exitWith for a code of its own, and sets no PersistentPreRun.
func subcommands() []*cobra.Command {
	return []*cobra.Command{
		newRunCommand(),
		newBenchCommand(),
		newGateCommand(),
		newCaptureCommand(),
		newCrashCommand(),
		newCrashChildCommand(),
		newVerifyCommand(),
		newInspectCommand(),
		newAdoptCommand(),
		newReplayCommand(),
		newLedgerCommand(),
		newServeCommand(),
		newTokenCommand(),
		newConfigCommand(),
		newCPUCommand(),
	}
}

// run is benchrig without the process: it executes args and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	started := false // errors before a command starts are about usage
	root := newRoot(&started)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := codeOf(err)
	if !started && code == exitFailure {
		code = exitUsage
	}
	var e *exitError
	if !errors.As(err, &e) || e.err != nil {
		fmt.Fprintln(stderr, "benchrig:", err)
	}
	if code == exitUsage {
		fmt.Fprintln(stderr, "benchrig: see benchrig --help, or --help after any command")
	}
	return code
}

func newRoot(started *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "benchrig",
		Short: "Run ron-accounting under load and prove that nothing was lost",
		Example: `  benchrig run w1
  benchrig run all --short
  benchrig verify ledger.db`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRun:  func(*cobra.Command, []string) { *started = true },
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableAutoGenTag: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s: %w", cmd.CommandPath(), err)
	})
	root.AddCommand(subcommands()...)
	return root
}
