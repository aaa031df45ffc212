package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func newLedgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Serve, query and fill the reference ledger",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLedgerServeCommand(), newLedgerUsageCommand(), newLedgerStreamsCommand(), newLedgerFollowCommand())
	return cmd
}

// filter is the choice of streams that usage and streams share.
type filter struct{ writer, tenant, dimension string }

func (f *filter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.writer, "writer", "", "only this writer (32 hexadecimal digits)")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "only this tenant (32 hexadecimal digits or a UUID)")
	cmd.Flags().StringVar(&f.dimension, "dimension", "", "only this dimension")
}

func (f *filter) parse() (out ledger.Filter, err error) {
	out.Dimension = f.dimension
	for _, id := range []struct {
		flag, text string
		to         **canon.ID
	}{{"writer", f.writer, &out.Writer}, {"tenant", f.tenant, &out.Tenant}} {
		if id.text == "" {
			continue
		}
		v, err := canon.ParseID(id.text)
		if err != nil {
			return out, usagef("--%s: %w", id.flag, err)
		}
		*id.to = &v
	}
	return out, nil
}

// openReadOnly opens a ledger file for a query, beside other readers.
func openReadOnly(path string, do func(*ledger.Ledger) error) error {
	if path == "" {
		return usagef("--file: want the ledger's file")
	}
	l, err := ledger.Open(path, ledger.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer l.Close()
	return do(l)
}

func newLedgerUsageCommand() *cobra.Command {
	var f filter
	var q ledger.Query
	var file, group string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "usage --file F",
		Short: "Add up what a ledger file holds",
		Example: `  benchrig ledger usage --file ledger.db --group tenant
  benchrig ledger usage --file ledger.db --group subject --tenant 00000000000000000000000000000007`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if q.Filter, err = f.parse(); err != nil {
				return err
			}
			if q.Group, err = ledger.ParseGroup(group); err != nil {
				return usagef("--group: %w", err)
			}
			if q.To != 0 && q.From > q.To {
				return usagef("--from: got %d, want at most --to, %d", q.From, q.To)
			}
			return openReadOnly(file, func(l *ledger.Ledger) error {
				rows, err := l.Usage(cmd.Context(), q)
				if err != nil {
					return err
				}
				return writeUsage(cmd.OutOrStdout(), rows, q.Group, asJSON)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "the ledger's file")
	cmd.Flags().StringVar(&group, "group", "", "one or more of tenant,subject,dimension,window,writer")
	cmd.Flags().Uint64Var(&q.From, "from", 0, "only slices whose window ends after this Unix second")
	cmd.Flags().Uint64Var(&q.To, "to", 0, "only slices whose window ends at this Unix second or before; 0: no bound")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON lines")
	return cmd
}

// writeUsage prints one line a group, with a column for each thing that it is grouped by.
func writeUsage(w io.Writer, rows []ledger.UsageRow, g ledger.Group, asJSON bool) error {
	type field struct {
		on   bool
		name string
		of   func(*ledger.UsageRow) string
	}
	fields := []field{
		{g&ledger.ByWriter != 0, "writer", func(r *ledger.UsageRow) string { return r.Writer.String() }},
		{g&ledger.ByTenant != 0, "tenant", func(r *ledger.UsageRow) string { return r.Tenant.String() }},
		{true, "dimension", func(r *ledger.UsageRow) string { return r.Dimension }},
		{g&ledger.ByWindow != 0, "window_start_s", func(r *ledger.UsageRow) string { return fmt.Sprint(r.WindowStart) }},
		{g&ledger.ByWindow != 0, "window_end_s", func(r *ledger.UsageRow) string { return fmt.Sprint(r.WindowEnd) }},
		{g&ledger.BySubject != 0, "ns", func(r *ledger.UsageRow) string { return fmt.Sprint(r.Namespace) }},
		{g&ledger.BySubject != 0, "subject", func(r *ledger.UsageRow) string { return r.Subject.String() }},
		{true, "units", func(r *ledger.UsageRow) string { return r.Units.String() }},
		{true, "slices", func(r *ledger.UsageRow) string { return fmt.Sprint(r.Slices) }},
	}
	if asJSON {
		enc := json.NewEncoder(w)
		for i := range rows {
			line := map[string]string{}
			for _, f := range fields {
				if f.on {
					line[f.name] = f.of(&rows[i])
				}
			}
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cell func(field) string) {
		var cells []string
		for _, f := range fields {
			if f.on {
				cells = append(cells, cell(f))
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	line(func(f field) string { return f.name })
	for i := range rows {
		line(func(f field) string { return f.of(&rows[i]) })
	}
	return t.Flush()
}

func newLedgerStreamsCommand() *cobra.Command {
	var f filter
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "streams --file F",
		Short: "List the streams of a ledger file with their tips and gaps",
		Example: `  benchrig ledger streams --file ledger.db
  benchrig ledger streams --file ledger.db --dimension bytes --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flt, err := f.parse()
			if err != nil {
				return err
			}
			return openReadOnly(file, func(l *ledger.Ledger) error {
				return writeStreams(cmd.Context(), cmd.OutOrStdout(), l, flt, asJSON)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "the ledger's file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON lines")
	return cmd
}

func writeStreams(ctx context.Context, w io.Writer, l *ledger.Ledger, f ledger.Filter, asJSON bool) error {
	enc := json.NewEncoder(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(t, "writer\ttenant\tdimension\tslices\ttip\tdigest\tgaps")
	}
	for s, err := range l.Streams(ctx, f) {
		if err != nil {
			return err
		}
		if asJSON {
			if err := enc.Encode(map[string]any{
				"writer": s.Stream.Writer.String(), "tenant": s.Stream.Tenant.String(), "dimension": s.Stream.Dimension,
				"tip": map[string]string{"seq": fmt.Sprint(s.TipSeq), "b3": s.TipDigest.String()}, "slices": s.Slices, "gaps": len(s.Gaps),
			}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%v\t%v\t%s\t%d\t%d\t%.19s\t%d\n", s.Stream.Writer, s.Stream.Tenant, s.Stream.Dimension, s.Slices, s.TipSeq, s.TipDigest, len(s.Gaps))
	}
	return t.Flush()
}
