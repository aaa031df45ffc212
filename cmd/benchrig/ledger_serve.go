package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func newLedgerServeCommand() *cobra.Command {
	var addr, uds, file string
	cmd := &cobra.Command{
		Use:   "serve --file F [--addr HOST:PORT] [--uds PATH]",
		Short: "Serve a ledger file over HTTP, on TCP or a Unix socket",
		Long: `Serve answers PUT and GET /slices/{writer}/{tenant}/{dimension}/{seq}, POST /slices, GET /streams, GET /usage, /healthz and
/readyz until it is interrupted. It has no authentication: listen on the loopback or on a Unix socket (mode 0600).`,
		Example: `  benchrig ledger serve --file ledger.db --addr 127.0.0.1:8420
  benchrig ledger serve --file ledger.db --uds /tmp/ledger.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("--file: want the ledger's file")
			}
			if addr == "" && uds == "" {
				return usagef("want --addr, --uds or both")
			}
			logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			return serveLedger(cmd.Context(), file, ledger.ServerOptions{Addr: addr, UDS: uds, Logger: logger}, func(where string) {
				fmt.Fprintf(cmd.OutOrStdout(), "ledger %s on %s\n", file, where)
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the ledger's file; made where it does not exist")
	cmd.Flags().StringVar(&addr, "addr", "", "listen on this TCP address, like 127.0.0.1:8420; port 0 takes a free one")
	cmd.Flags().StringVar(&uds, "uds", "", "listen on this Unix socket")
	return cmd
}

// serveLedger serves file until ctx ends; ready is told where it listens.
func serveLedger(ctx context.Context, file string, o ledger.ServerOptions, ready func(where string)) (err error) {
	l, err := ledger.Open(file, ledger.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := ledger.Listen(l.Handler(ledger.HandlerOptions{}), o)
	if err != nil {
		return err
	}
	var on []string
	if s.Addr() != nil {
		on = append(on, "http://"+s.Addr().String())
	}
	if o.UDS != "" {
		on = append(on, socketAddress(o.UDS))
	}
	ready(strings.Join(on, " and "))
	return s.Serve(ctx)
}

// socketAddress is what --sink wants for a Unix socket: an absolute path.
func socketAddress(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return "unix://" + path
}
