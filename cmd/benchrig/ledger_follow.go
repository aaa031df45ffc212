package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func newLedgerFollowCommand() *cobra.Command {
	var file string
	var once bool
	cmd := &cobra.Command{
		Use:   "follow nats://HOST:PORT --file F",
		Short: "Read the slices of a whole fleet from JetStream into a ledger file",
		Long: `Follow puts every slice that the broker holds into the ledger, each chain in order, and goes on with new ones until it is
interrupted. What the ledger holds already is a duplicate, so it may be begun anew at any time.`,
		Example: `  benchrig ledger follow nats://127.0.0.1:4222 --file fleet.db`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			servers, o, err := jetstream.ParseURL(args[0])
			if err != nil {
				return usagef("follow: %w", err)
			}
			o.MaxSliceBytes = 512 << 10
			if file == "" {
				return usagef("--file: want the ledger's file")
			}
			l, err := ledger.Open(file, ledger.Options{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			got, err := jetstream.Follow(cmd.Context(), servers, o, l, jetstream.FollowOptions{Once: once, OnError: sayOnce(cmd.ErrOrStderr())})
			fmt.Fprintf(cmd.OutOrStdout(), "read %d slices, stored %d, %d duplicates\n", got.Read, got.Stored, got.Duplicates)
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // interrupted: what was read is stored
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the ledger's file; made where it does not exist")
	cmd.Flags().BoolVar(&once, "once", false, "end when everything that is there has been read")
	return cmd
}

// sayOnce prints each error when it first comes, and when it is over.
func sayOnce(w io.Writer) func(error) {
	last := ""
	return func(err error) {
		switch {
		case err != nil && err.Error() != last:
			last = err.Error()
			fmt.Fprintf(w, "trying again: %v\n", err)
		case err == nil && last != "":
			last = ""
			fmt.Fprintln(w, "well again")
		}
	}
}
