package main

import (
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/bench"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/proc"
	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// benchDoc is bench's result as JSON.
type benchDoc struct {
	Schema  int            `json:"schema"`
	Host    proc.Host      `json:"host"`
	Results []bench.Result `json:"results"`
}

func newBenchCommand() *cobra.Command {
	var o bench.Options
	var filter, file string
	var list bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Run the micro-benchmarks: record, seal, encode, digest, idempotent put, ledger and WAL",
		Long: `Bench prints Go's benchmark format, which benchstat reads. ns/op is the mean; best-ns/op is the fastest twentieth of the
measurement, which other programs on the machine disturb least.`,
		Example: `  benchrig bench
  benchrig bench --filter '^(Record|Seal)/' --count 5
  benchrig bench --filter IdempotentPut --latency 2ms
  benchrig bench --filter Digest --json -
  benchrig bench --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			match, err := regexp.Compile(filter)
			if err != nil {
				return usagef("--filter: got %q, want a regular expression: %w", filter, err)
			}
			cases := bench.Cases(match)
			switch {
			case len(cases) == 0:
				return usagef("--filter: %q matches no benchmark; --list names them", filter)
			case o.Time < time.Millisecond || o.Time > time.Hour:
				return usagef("--benchtime: got %v, want 1ms to 1h", o.Time)
			case o.Count < 1 || o.Count > 10_000:
				return usagef("--count: got %d, want 1 to 10000", o.Count)
			case o.Latency < 0 || o.Latency > 10*time.Second:
				return usagef("--latency: got %v, want 0 to 10s", o.Latency)
			}
			if list {
				for _, c := range cases {
					fmt.Fprintln(cmd.OutOrStdout(), c.Name)
				}
				return nil
			}
			if err := writable(file); err != nil {
				return usagef("--json: %s %w", file, err)
			}
			text := cmd.OutOrStdout()
			if file == "-" {
				text = io.Discard
			}
			doc := benchDoc{Schema: 1, Host: proc.ThisHost(cpufeat.Selected().String())}
			bench.Header(text)
			if err := bench.Run(cmd.Context(), cases, o, func(r bench.Result) {
				r.Line(text)
				doc.Results = append(doc.Results, r)
			}); err != nil {
				return err
			}
			return writeDoc(file, doc, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&filter, "filter", "", "only benchmarks that this regular `expression` matches")
	f.DurationVar(&o.Time, "benchtime", 200*time.Millisecond, "length of one measurement")
	f.IntVar(&o.Count, "count", 1, "measurements of each")
	f.DurationVar(&o.Latency, "latency", 0, "of the mock sink of IdempotentPut")
	f.BoolVar(&o.Spread, "spread", false, "measure a little of each in turn, so that what disturbs the machine for a while meets all of them")
	f.StringVar(&o.Dir, "dir", "", "keep the files of the ledger and the WAL in this `directory` (default: a temporary one, removed afterwards)")
	f.StringVar(&file, "json", "", "write the results as JSON to `FILE`, - for the standard output")
	f.BoolVar(&list, "list", false, "only name the benchmarks")
	return cmd
}
