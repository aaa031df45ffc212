package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// walStream is one stream of a WAL as inspect shows it. Numbers of 64 bits are decimal strings.
type walStream struct {
	Writer    string `json:"writer"`
	Tenant    string `json:"tenant"`
	Dimension string `json:"dimension"`
	Next      uint64 `json:"next,string"`
	Acked     uint64 `json:"acked,string"`
	Pending   int    `json:"pending"`
	Missing   uint64 `json:"missing,string"` // used, not acked, and nowhere
	Units     uint64 `json:"units,string"`
}

// walReport is what inspect says of a directory.
type walReport struct {
	Dir         string      `json:"dir"`
	Writer      string      `json:"writer"`
	WindowS     uint64      `json:"window_s"`
	Dimensions  []string    `json:"dimensions"`
	Epoch       uint64      `json:"epoch,string"`
	CounterFile string      `json:"counter_file,omitempty"`
	Segments    int         `json:"segments"`
	SetAside    int         `json:"set_aside"` // damaged segments that a recovery has put away
	Bytes       int64       `json:"bytes"`
	Pending     int         `json:"pending"`
	Damage      []string    `json:"damage"`
	Streams     []walStream `json:"streams"`
}

func newInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Say what a WAL's directory holds, without changing it",
		Long: `Inspect reads a WAL's directory by the byte diagram of its documentation, with code that is not the recorder's: writer, window,
last epoch, and per stream how far it is sealed and acked. Beside a running recorder it shows a moment's state.`,
		Example: `  benchrig inspect /var/lib/accounting/wal
  benchrig inspect --json /var/lib/accounting/wal`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, _, err := inspectWAL(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func inspectWAL(dir string) (*walReport, *conserve.Log, error) {
	if kind, err := kindOf(dir); err != nil {
		return nil, nil, err
	} else if kind != "wal" {
		return nil, nil, usagef("%s is a file: want a WAL's directory", dir)
	}
	l, err := conserve.ReadLog(dir)
	if err != nil {
		return nil, nil, err
	}
	bad, _ := filepath.Glob(filepath.Join(dir, "*.bad"))
	r := &walReport{
		Dir: dir, Writer: canon.ID(l.Writer).String(), WindowS: l.WindowS, Dimensions: l.Dims, Epoch: l.Epoch, Segments: l.Segments,
		SetAside: len(bad), Bytes: l.Bytes, Pending: l.Pending(), Damage: append([]string{}, l.Damage...), Streams: []walStream{},
	}
	if l.FileID != [16]byte{} {
		r.CounterFile = canon.ID(l.FileID).String()
	}
	for _, s := range slices.SortedFunc(maps.Keys(l.Next), func(a, b conserve.Stream) int {
		return slices.Compare([]byte(string(a.Writer[:])+string(a.Tenant[:])+a.Dimension), []byte(string(b.Writer[:])+string(b.Tenant[:])+b.Dimension))
	}) {
		w := walStream{Writer: canon.ID(s.Writer).String(), Tenant: canon.ID(s.Tenant).String(), Dimension: s.Dimension,
			Next: l.Next[s], Acked: l.Acked[s], Units: l.Units[s]}
		w.Missing = missing(l, s)
		for seq := range l.Slices[s] {
			if seq >= w.Acked {
				w.Pending++
			}
		}
		r.Streams = append(r.Streams, w)
	}
	return r, l, nil
}

// missing counts the seqs of a stream that were used, are not acked, are not declared lost and are nowhere.
func missing(l *conserve.Log, s conserve.Stream) (n uint64) {
	want := l.Acked[s]
	for _, seq := range slices.Sorted(maps.Keys(l.Slices[s])) {
		if seq < want {
			continue
		}
		from := want
		if v, err := canon.View(l.Slices[s][seq]); err == nil && v.Head().Gap != nil {
			from = min(seq, max(from, v.Head().Gap.To+1))
		}
		n, want = n+seq-from, seq+1
	}
	if next := l.Next[s]; next > want {
		n += next - want
	}
	return n
}

func (r *walReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: writer %s, window %d s, dimensions %v\n", r.Dir, r.Writer, r.WindowS, r.Dimensions)
	fmt.Fprintf(w, "epoch %d, %d segments, %d bytes, %d slices pending of %d streams; %d segments set aside\n", r.Epoch, r.Segments, r.Bytes, r.Pending, len(r.Streams), r.SetAside)
	if r.CounterFile != "" {
		fmt.Fprintf(w, "counter file %s\n", r.CounterFile)
	}
	for _, d := range r.Damage {
		fmt.Fprintln(w, "DAMAGE", d, "(or a commit that was cut short)")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "writer\ttenant\tdimension\tnext\tacked\tpending\tmissing\tunits")
	for _, s := range r.Streams {
		fmt.Fprintf(t, "%.8s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", s.Writer, s.Tenant, s.Dimension, s.Next, s.Acked, s.Pending, s.Missing, s.Units)
	}
	return t.Flush()
}

// verifyWAL walks the chains of what a WAL holds, which may begin anywhere in them, and looks for slices that should be there.
func verifyWAL(dir string, w io.Writer) error {
	r, l, err := inspectWAL(dir)
	if err != nil {
		return err
	}
	var c chains
	for s, bodies := range l.Slices {
		for _, seq := range slices.Sorted(maps.Keys(bodies)) {
			if seq >= l.Acked[s] {
				c.add(fmt.Sprintf("stream %v seq %d", s, seq), bodies[seq])
			}
		}
		if n := missing(l, s); n > 0 {
			c.breaks = append(c.breaks, fmt.Sprintf("stream %v: %d slices that are not acked are missing", s, n))
		}
	}
	for s, next := range l.Next {
		if len(l.Slices[s]) == 0 && next > l.Acked[s] {
			c.breaks = append(c.breaks, fmt.Sprintf("stream %v: %d slices that are not acked are missing", s, next-l.Acked[s]))
		}
	}
	slices.Sort(c.breaks)
	fmt.Fprintf(w, "%s: WAL of writer %s, %d streams, %d slices pending, %d bytes\n", dir, r.Writer, len(r.Streams), r.Pending, r.Bytes)
	for _, d := range r.Damage {
		fmt.Fprintln(w, "note:", d, "(a commit that was cut short, or damage)")
	}
	return sayBreaks(w, c.breaks)
}

func newAdoptCommand() *cobra.Command {
	var newWriter bool
	cmd := &cobra.Command{
		Use:   "adopt --new-writer DIR",
		Short: "Give a cloned or restored WAL directory a writer id of its own",
		Long: `Adopt makes a copy of a WAL's directory usable. Its writer's streams have gone on elsewhere, or in the time after the copy was made, so
nothing may be added to them: it gets a new writer id, whose streams begin at seq 0. What is pending stays, and is put under the old id; what
the ledger holds already is a duplicate there. A counter file of the old writer is set aside at the next start.`,
		Example: `  benchrig adopt --new-writer /var/lib/accounting/wal`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !newWriter {
				return usagef("adopt: want --new-writer, the only way to adopt a directory")
			}
			r, _, err := inspectWAL(args[0])
			if err != nil {
				return err
			}
			l, rec, err := wal.Open(wal.Options{Dir: args[0]}, wal.Identity{WindowS: r.WindowS, Dimensions: r.Dimensions})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			id, err := l.NewWriter()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: writer %v is now %v; %d slices of the old one stay pending\n", args[0], rec.Writer, id, len(rec.Pending))
			return nil
		},
	}
	cmd.Flags().BoolVar(&newWriter, "new-writer", false, "draw a new writer id")
	return cmd
}
