package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/capture"
)

// changedRows is how many functions a kind's table shows.
const changedRows = 10

func newCaptureDiffCommand() *cobra.Command {
	var out string
	var absolute bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW --out DIR",
		Short: "Show what changed between two captures, as flame graphs and tables",
		Long: `Diff compares two captures that benchrig capture wrote (directories: a workload's, or those of several), or two pprof files. It prints the
functions whose own cost changed most and writes below --out, for each kind that both have, a flame graph (red grew, blue shrank) as a part of
diff.html and as an SVG, and folded stacks with both values. Runs of different length compare by share, unless --absolute; heap and
goroutine by value.`,
		Example: `  benchrig capture cpu --out before -- run w1
  benchrig capture cpu --out after -- run w1
  benchrig capture diff before after --out diff`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("capture diff: want --out DIR, where the graphs are written")
			}
			changes, written, notes, err := capture.Diff(args[0], args[1], out, absolute)
			if errors.Is(err, capture.ErrDiff) {
				return usagef("capture diff: %w", err)
			}
			if err != nil {
				return err
			}
			for _, c := range changes {
				c.Table(cmd.OutOrStdout(), changedRows)
			}
			for _, note := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
			}
			for _, path := range written {
				fmt.Fprintln(cmd.OutOrStdout(), "wrote", path)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write below `DIR`")
	cmd.Flags().BoolVar(&absolute, "absolute", false, "compare values of all kinds, not shares")
	return cmd
}
