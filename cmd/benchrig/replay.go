package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/car"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func newReplayCommand() *cobra.Command {
	var from, to string
	var dry bool
	cmd := &cobra.Command{
		Use:   "replay --from CAR|WAL|LEDGER --to SINK",
		Short: "Put the slices that a sink lacks, from another place that holds them",
		Long: `Replay mends a sink that has fallen behind or lost its tail: for each stream of the source it asks the sink for its tip and puts what follows,
in order. A tip that the source holds under another digest is a conflict: nothing of that stream is put.

The source is a ledger file, a CAR file, a directory of CAR files, or a WAL's directory (what is pending and not yet compacted there). The sink is
a ledger file (FILE or ledger:FILE), a directory for CAR files (car:DIR), or a ledger at http(s)://…, unix://… or nats://…

Exit codes: 0 the sink holds all of the source; 1 failed to run; 2 wrong usage; 3 a stream could not be mended.`,
		Example: `  benchrig replay --from archive/ --to http://127.0.0.1:8080 --dry-run
  benchrig replay --from ledger.db --to car:archive`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if from == "" || to == "" {
				return usagef("replay: want --from and --to")
			}
			streams, close, err := openSource(from)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, close()) }()
			sink, done, err := openReplaySink(cmd.Context(), to, dry)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			return replay(cmd.Context(), streams, sink, dry, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`SOURCE`: ledger file, CAR file or directory, WAL directory")
	cmd.Flags().StringVar(&to, "to", "", "`SINK`: ledger file, car:DIR, http(s)://…, unix://… or nats://…")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be put, and put nothing")
	return cmd
}

// source yields each stream's slices from a seq on, in order.
type source interface {
	streams(ctx context.Context) ([]export.Stream, error)
	slices(s export.Stream, from uint64, yield func(canon.SealedSlice) error) error
}

func openSource(path string) (source, func() error, error) {
	nothing := func() error { return nil }
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if info.IsDir() {
		if kind, err := kindOf(path); err == nil && kind == "wal" {
			l, err := conserve.ReadLog(path)
			return walSource{l}, nothing, err
		}
		c, err := readCARSource(path)
		return c, nothing, err
	}
	kind, err := kindOf(path)
	if err != nil {
		return nil, nil, err
	}
	if kind == "car" {
		c, err := readCARSource(path)
		return c, nothing, err
	}
	l, err := ledger.Open(path, ledger.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	return ledgerSource{l}, l.Close, nil
}

type ledgerSource struct{ l *ledger.Ledger }

func (s ledgerSource) streams(ctx context.Context) (out []export.Stream, err error) {
	for i, err := range s.l.Streams(ctx, ledger.Filter{}) {
		if err != nil {
			return nil, err
		}
		out = append(out, i.Stream)
	}
	return out, nil
}

func (s ledgerSource) slices(name export.Stream, from uint64, yield func(canon.SealedSlice) error) error {
	for slice, err := range s.l.Slices(name, from) {
		if err == nil {
			err = yield(slice)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type walSource struct{ l *conserve.Log }

func (s walSource) streams(context.Context) (out []export.Stream, err error) {
	for k := range s.l.Slices {
		out = append(out, export.Stream{Writer: k.Writer, Tenant: k.Tenant, Dimension: k.Dimension})
	}
	return out, nil
}

func (s walSource) slices(name export.Stream, from uint64, yield func(canon.SealedSlice) error) error {
	bodies := s.l.Slices[conserve.Stream{Writer: name.Writer, Tenant: name.Tenant, Dimension: name.Dimension}]
	for _, seq := range slices.Sorted(maps.Keys(bodies)) {
		if seq < from {
			continue
		}
		slice, err := canon.View(bodies[seq])
		if err == nil {
			err = yield(slice)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// carSource reads an archive anew for each stream's slices, so that none but one is in memory: places are kept, slices are not.
type carSource struct {
	path  string
	names []export.Stream
}

func readCARSource(path string) (*carSource, error) {
	c, seen := &carSource{path: path}, map[export.Stream]bool{}
	for e, err := range car.Slices(path) {
		if err != nil {
			return nil, err
		}
		if s := export.StreamOf(e.Slice.Head()); !seen[s] {
			seen[s] = true
			c.names = append(c.names, s)
		}
	}
	if len(c.names) == 0 {
		return nil, usagef("replay: %s: want a ledger file, a CAR file or directory with slices, or a WAL directory", path)
	}
	return c, nil
}

func (c *carSource) streams(context.Context) ([]export.Stream, error) { return c.names, nil }

func (c *carSource) slices(name export.Stream, from uint64, yield func(canon.SealedSlice) error) error {
	next := from
	for e, err := range car.Slices(c.path) {
		if err != nil {
			return err
		}
		h := e.Slice.Head()
		if export.StreamOf(h) != name || h.Seq < next { // a slice may stand there twice
			continue
		}
		next = h.Seq + 1
		if err := yield(e.Slice); err != nil {
			return err
		}
	}
	return nil
}

// replaySink is a sink that says what it holds.
type replaySink interface {
	export.Exporter
	export.Tipper
}

func openReplaySink(ctx context.Context, to string, dry bool) (replaySink, func() error, error) {
	switch scheme, rest, ok := strings.Cut(to, "://"); {
	case ok && (scheme == "http" || scheme == "https" || scheme == "unix"):
		c, err := httpledger.New(to, httpledger.Options{})
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	case ok && (scheme == "nats" || scheme == "tls"):
		e, err := jetstream.ConnectURL(ctx, to, jetstream.Options{MaxSliceBytes: mostSliceNATS})
		if err != nil {
			return nil, nil, err
		}
		return e, func() error { e.Close(); return nil }, nil
	case ok:
		return nil, nil, usagef("replay: --to: got %q, want http, https, unix or nats before ://%s", scheme, rest)
	}
	dir, archive := strings.CutPrefix(to, "car:")
	if dry && archive {
		t, err := readTips(dir)
		return t, func() error { return nil }, err
	}
	if archive {
		a, err := car.Open(car.Options{Dir: dir})
		if err != nil {
			return nil, nil, err
		}
		return a, a.Close, nil
	}
	to = strings.TrimPrefix(to, "ledger:") // as serve's --sink has it
	if _, err := os.Stat(to); dry && errors.Is(err, fs.ErrNotExist) {
		return tips{}, func() error { return nil }, nil
	}
	l, err := ledger.Open(to, ledger.Options{ReadOnly: dry})
	if err != nil {
		return nil, nil, err
	}
	return l, l.Close, nil
}

var errConflict = errors.New("the sink's tip is another slice than the source's")

// replay brings the sink to where the source is, a stream at a time.
func replay(ctx context.Context, src source, sink replaySink, dry bool, w io.Writer) error {
	names, err := src.streams(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b export.Stream) int {
		return strings.Compare(a.Writer.String()+a.Tenant.String()+a.Dimension, b.Writer.String()+b.Tenant.String()+b.Dimension)
	})
	put, mended, whole := 0, 0, 0
	var failed []string
	for _, s := range names {
		n, err := replayStream(ctx, src, sink, s, dry)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		put += n
		if n > 0 {
			mended++
			fmt.Fprintf(w, "stream %v: %d slices\n", s, n)
		}
		if err != nil {
			failed = append(failed, fmt.Sprintf("stream %v: %v", s, err)) // perhaps behind some slices that were put
		} else if n == 0 {
			whole++
		}
	}
	verb := "put"
	if dry {
		verb = "would put"
	}
	fmt.Fprintf(w, "%s %d slices of %d streams; %d of %d streams were whole\n", verb, put, mended, whole, len(names))
	for _, f := range failed {
		fmt.Fprintln(w, "FAILED", f)
	}
	if len(failed) > 0 {
		return exitWith(exitLoss, fmt.Errorf("replay: %d streams could not be mended; the first: %s", len(failed), failed[0]))
	}
	return nil
}

func replayStream(ctx context.Context, src source, sink replaySink, s export.Stream, dry bool) (put int, err error) {
	tip, digest, ok, err := sink.Tip(ctx, s)
	if err != nil {
		return 0, err
	}
	from := uint64(0)
	if ok {
		from = tip
	}
	next := from
	err = src.slices(s, from, func(slice canon.SealedSlice) error {
		h := slice.Head()
		if ok && h.Seq == tip {
			if slice.Digest() != digest {
				return fmt.Errorf("%w: seq %d: %.15s there, %.15s here", errConflict, tip, digest, slice.Digest())
			}
			next = tip + 1
			return nil
		}
		if ok && next == tip { // the source begins behind the tip
			next = tip + 1
		}
		if h.Seq != next && (h.Gap == nil || h.Gap.From != next) {
			return fmt.Errorf("%w: the source has seq %d where the sink wants %d", export.ErrGap, h.Seq, next)
		}
		next = h.Seq + 1
		put++
		if dry {
			return nil
		}
		if _, err := sink.Put(ctx, slice); err != nil {
			put--
			return fmt.Errorf("seq %d: %w", h.Seq, err)
		}
		return nil
	})
	return put, err
}
