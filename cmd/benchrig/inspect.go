package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/canon"
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
	Units     string `json:"units"`
	Retired   bool   `json:"retired,omitempty"` // of an earlier writer
}

type walHole struct {
	Stream string `json:"stream"`
	From   uint64 `json:"from,string"`
	To     uint64 `json:"to,string"`
	Units  string `json:"units,omitempty"` // not there: not known
}

type walCursor struct {
	Sink   string `json:"sink"`
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq,string"`
}

// walReport is what inspect says of a directory.
type walReport struct {
	Dir         string      `json:"dir"`
	Writer      string      `json:"writer"`
	Owner       string      `json:"owner,omitempty"` // process number of the last owner, or the running one
	WindowS     uint64      `json:"window_s"`
	Dimensions  []string    `json:"dimensions"`
	Policy      string      `json:"fsync"`
	Epoch       uint64      `json:"epoch,string"`
	CounterFile string      `json:"counter_file,omitempty"`
	Checkpoint  int         `json:"checkpoint_bytes"` // of the open counters; 0: none
	Segments    int         `json:"segments"`
	Bytes       int64       `json:"bytes"`
	SetAside    []string    `json:"set_aside"`
	Pending     int         `json:"pending"`
	Torn        int         `json:"torn"` // tails that the next start cuts off: commits that never were
	Damage      []string    `json:"damage"`
	Holes       []walHole   `json:"holes"`
	Streams     []walStream `json:"streams"`
	Cursors     []walCursor `json:"cursors"`
}

func newInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Say what a WAL's directory holds, without changing it",
		Long: `Inspect reads a WAL's directory: writer, window, last epoch, damage, and per stream how far it is sealed and acked, as the next start would
find it. It takes no lock: beside a running recorder it shows a moment's state.`,
		Example: `  benchrig inspect /var/lib/accounting/wal
  benchrig inspect --json /var/lib/accounting/wal`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := wal.Inspect(wal.Options{Dir: args[0]})
			if err != nil {
				return err
			}
			if len(in.Segments)+len(in.SetAside) == 0 && in.Writer == (canon.ID{}) {
				return usagef("%s is a directory without a WAL: want a WAL's directory", args[0])
			}
			r := reportWAL(args[0], in)
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

func reportWAL(dir string, in *wal.Inspection) *walReport {
	r := &walReport{
		Dir: dir, Writer: in.Writer.String(), Owner: in.Owner, WindowS: in.Window, Dimensions: in.Dimensions, Policy: in.Policy.String(), Epoch: in.Epoch,
		Segments: len(in.Segments), SetAside: append([]string{}, in.SetAside...), Pending: len(in.Pending), Torn: in.Torn,
		Damage: []string{}, Holes: []walHole{}, Streams: []walStream{}, Cursors: []walCursor{},
	}
	if in.File.ID != [16]byte{} {
		r.CounterFile = canon.ID(in.File.ID).String()
	}
	if r.Checkpoint = in.Counters; in.CountersErr != nil {
		r.Damage = append(r.Damage, in.CountersErr.Error())
	}
	for _, s := range in.Segments {
		r.Bytes += s.End
	}
	for _, d := range in.Damage {
		r.Damage = append(r.Damage, fmt.Sprintf("segment %d bytes %d to %d: %s", d.Segment, d.From, d.To, d.What))
	}
	for _, h := range in.Holes {
		hole := walHole{Stream: h.Stream.String(), From: h.From, To: h.To}
		if h.UnitsKnown {
			hole.Units = decimal(h.Units)
		}
		r.Holes = append(r.Holes, hole)
	}
	pending := map[wal.Stream]int{}
	for i := range in.Pending {
		pending[in.Pending[i].Stream]++
	}
	for _, h := range in.Heads {
		r.Streams = append(r.Streams, walStream{
			Writer: h.Stream.Writer.String(), Tenant: h.Stream.Tenant.String(), Dimension: h.Stream.Dimension,
			Next: h.Next, Acked: h.Acked, Pending: pending[h.Stream], Units: decimal(h.Units), Retired: h.Retired,
		})
	}
	for _, c := range in.Cursors {
		r.Cursors = append(r.Cursors, walCursor{c.Sink, c.Stream.String(), c.Seq})
	}
	return r
}

// decimal writes a count of units.
func decimal(u wal.Units) string {
	if u.Hi == 0 {
		return strconv.FormatUint(u.Lo, 10)
	}
	return fmt.Sprintf("%d*2^64+%d", u.Hi, u.Lo)
}

func (r *walReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: writer %s, window %d s, fsync %s, dimensions %v\n", r.Dir, r.Writer, r.WindowS, r.Policy, r.Dimensions)
	fmt.Fprintf(w, "epoch %d, %d segments, %d bytes, %d slices pending of %d streams; %d torn tails, %d segments set aside\n",
		r.Epoch, r.Segments, r.Bytes, r.Pending, len(r.Streams), r.Torn, len(r.SetAside))
	if r.CounterFile != "" {
		fmt.Fprintf(w, "counter file %s\n", r.CounterFile)
	}
	if r.Checkpoint > 0 {
		fmt.Fprintf(w, "checkpoint of the counters, %d bytes\n", r.Checkpoint)
	}
	for _, d := range r.Damage {
		fmt.Fprintln(w, "DAMAGE", d)
	}
	for _, h := range r.Holes {
		units := "units unknown"
		if h.Units != "" {
			units = h.Units + " units"
		}
		fmt.Fprintf(w, "HOLE stream %s: seqs %d to %d are missing, %s\n", h.Stream, h.From, h.To, units)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "writer\ttenant\tdimension\tnext\tacked\tpending\tunits\t")
	for _, s := range r.Streams {
		old := ""
		if s.Retired {
			old = "retired"
		}
		fmt.Fprintf(t, "%.8s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", s.Writer, s.Tenant, s.Dimension, s.Next, s.Acked, s.Pending, s.Units, old)
	}
	for _, c := range r.Cursors {
		fmt.Fprintf(t, "sink %s\t%s\tacked to\t%d\n", c.Sink, c.Stream, c.Seq)
	}
	return t.Flush()
}

// verifyWAL walks the chains of what a WAL holds, which may begin anywhere in them, and looks for what should be there.
func verifyWAL(dir string, w io.Writer) error {
	in, err := wal.Verify(wal.Options{Dir: dir})
	if in == nil {
		return err
	}
	fmt.Fprintf(w, "%s: WAL of writer %v, %d streams, %d slices pending, %d torn tails\n", dir, in.Writer, len(in.Heads), len(in.Pending), in.Torn)
	var breaks []string
	if err != nil {
		breaks = strings.Split(err.Error(), "\n")
	}
	return sayBreaks(w, breaks)
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
		RunE: func(cmd *cobra.Command, args []string) error {
			if !newWriter {
				return usagef("adopt: want --new-writer, the only way to adopt a directory")
			}
			if _, err := os.Stat(args[0]); err != nil {
				return err
			}
			if kind, err := kindOf(args[0]); err != nil || kind != "wal" {
				return usagef("adopt: %s: want a WAL's directory", args[0])
			}
			old, now, err := wal.Adopt(wal.Options{Dir: args[0]})
			if errors.Is(err, wal.ErrWALDirUnusable) || now == (canon.ID{}) {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: writer %v is now %v\n", args[0], old, now)
			return err
		},
	}
	cmd.Flags().BoolVar(&newWriter, "new-writer", false, "draw a new writer id")
	return cmd
}
