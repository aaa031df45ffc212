package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/config"
)

// reloadEvery is how often a SIGHUP is obeyed at most.
const reloadEvery = time.Minute

// serveFlags are the flags of serve that stand for a key.
var serveFlags = []struct{ flag, key string }{
	{"addr", "serve.addr"}, {"uds", "serve.uds"}, {"metrics-addr", "serve.metrics_addr"}, {"tls-cert", "serve.tls_cert"}, {"tls-key", "serve.tls_key"},
	{"client-ca", "serve.client_ca"}, {"token-keys", "serve.token_keys"}, {"allow-uid", "serve.allow_uid"}, {"sink", "sink"}, {"dir", "serve.dir"},
}

func newServeCommand() *cobra.Command {
	var file string
	var set []string
	var insecure bool
	cmd := &cobra.Command{
		Use:   "serve --sink S (--addr HOST:PORT | --uds PATH)",
		Short: "Take slices and increments over HTTP and export them to a ledger",
		Long: `Serve answers POST /export and /record, GET /readyz, /healthz and /livez on TCP and a Unix socket, and GET /metrics on an
address of its own. With --dir what was answered 202 survives kill -9. SIGHUP reads the configuration, the root keys and the
certificates again, at most once a minute; SIGINT and SIGTERM end it in order.`,
		Example: `  benchrig token key first > keys && chmod 600 keys
  benchrig serve --addr 127.0.0.1:8421 --token-keys keys --dir state --sink ledger:ledger.db
  benchrig serve --uds adapter.sock --allow-uid 1000 --dir state --sink http://127.0.0.1:8420`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, f := range serveFlags {
				if v := cmd.Flags().Lookup(f.flag); v.Changed {
					set = append(set, f.key+"="+v.Value.String())
				}
			}
			if cmd.Flags().Changed("insecure") {
				set = append(set, fmt.Sprintf("serve.insecure=%v", insecure))
			}
			load := func() (*config.Config, []config.Value, error) {
				c, values, err := config.Load(file, os.Environ(), set)
				if c != nil {
					err = errors.Join(err, c.CheckServe())
				}
				return c, values, err
			}
			s := &service{load: load, every: reloadEvery, log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
			var err error
			if s.c, s.values, err = s.load(); err != nil {
				return configError(err)
			}
			return s.run(cmd.Context(), func(where string) { fmt.Fprintln(cmd.OutOrStdout(), where) })
		},
	}
	for _, f := range serveFlags {
		for _, k := range config.Keys {
			if k.Name == f.key {
				cmd.Flags().String(f.flag, k.Default, strings.TrimPrefix(k.Help, "serve: "))
			}
		}
	}
	cmd.Flags().BoolVar(&insecure, "insecure", false, "no authentication; loopback addresses only")
	cmd.Flags().StringVar(&file, "config", "", "a TOML file")
	cmd.Flags().StringArrayVar(&set, "set", nil, "set `key=value`; may be repeated")
	return cmd
}

// logConfig logs every key once, with where it is from; no secret is among them but in addresses, where it is left out.
func (s *service) logConfig() {
	var all []any
	for _, v := range s.values {
		all = append(all, slog.String(v.Key.Name, config.Shown(v)))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "configuration", slog.Group("keys", all...))
}
