package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// This file has what tools do with a directory. Inspect, Walk and Verify only read: they take no lock and change nothing, so they may look at a
// log that is in use; what they tell is then as of some moment during the call, and a commit under way shows as a torn tail.

// Inspection is what a directory's files say.
type Inspection struct {
	Recovered // what Open would find, with Refs that name nothing. Where NewWriter is set it would draw another writer than Writer
	Segments  []SegmentInfo
	Cursors   []CursorInfo
	SetAside  []string // damaged segments of earlier recoveries: *.bad
	Leftovers []string // *.tmp: the spare segment of a running owner, or what a killed one left
	Counters  int      // bytes of the counters' checkpoint; 0: none
	Owner     string   // the process number in the lock file, of the last owner or the running one; "": none is told

	CountersErr error // why the checkpoint can't be used
}

// SegmentInfo is one segment.
type SegmentInfo struct {
	Number    uint64
	Version   uint32
	Size, End int64 // of the file, and of what it holds
	Synced    int64 // bytes that are known to have been durable
	Entries   int   // pending ones
	Bytes     int64 // of their frames
	Damaged   bool
}

// CursorInfo is how far a sink has acked a stream.
type CursorInfo struct {
	Sink   string
	Stream Stream
	Seq    uint64
	Digest canon.Digest
}

// Inspect tells what a directory holds. Of the options it uses Dir and FS. It fails with ErrWALDirUnusable.
func Inspect(o Options) (*Inspection, error) {
	l, in, err := look(o)
	if err != nil {
		return nil, err
	}
	l.closeFiles()
	return in, nil
}

// Walk calls each with every pending entry that can be read, stream by stream in the order of their seqs, and stops at its first error. The body is
// valid during the call. Entries that can't be read are in the result's Holes, or, where the disk fails meanwhile, end the walk.
func Walk(o Options, each func(p *Pending, body []byte) error) (*Inspection, error) {
	l, in, err := look(o)
	if err != nil {
		return nil, err
	}
	defer l.closeFiles()
	var body []byte
	for i := range in.Pending {
		p := &in.Pending[i]
		if body, err = l.Read(p.Ref, body[:0]); err != nil {
			return in, err
		}
		if err := each(p, body); err != nil {
			return in, err
		}
	}
	return in, nil
}

// Verify reads everything and checks the chains. Its error is ErrWALCorrupt, and names every fault, where something that was durable is damaged,
// missing, or does not fit its neighbours.
func Verify(o Options) (*Inspection, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrWALCorrupt}, args...)...))
	}
	var last *Pending
	in, err := Walk(o, func(p *Pending, _ []byte) error {
		if last != nil && last.Stream == p.Stream && last.Seq+1 == p.Seq && p.HasPrev && p.Prev != last.Digest {
			bad("stream %v seq %d: prev: got %v, want %v", p.Stream, p.Seq, p.Prev, last.Digest)
		}
		last = p
		return nil
	})
	if in == nil {
		return nil, err
	}
	for _, d := range in.Damage {
		bad("segment %d bytes %d to %d: %s", d.Segment, d.From, d.To, d.What)
	}
	for _, h := range in.Holes {
		bad("stream %v: seqs %d to %d are missing (units %v, known %v)", h.Stream, h.From, h.To, h.Units, h.UnitsKnown)
	}
	if in.CountersErr != nil {
		errs = append(errs, in.CountersErr)
	}
	return in, errors.Join(append([]error{err}, errs...)...)
}

// Adopt gives a directory another writer id: for one that was cloned, or restored from a copy, whose chains have gone on elsewhere. It needs the
// directory for itself. What is pending keeps its old writer. It returns both ids.
func Adopt(o Options) (old, now canon.ID, err error) {
	o = o.WithDefaults()
	if err := exists(&o); err != nil {
		return old, now, err
	}
	l, rec, err := Open(o, Identity{})
	if err != nil {
		return old, now, err
	}
	old = rec.Writer
	if rec.NewWriter {
		old = rec.OldWriter
	}
	now, err = l.NewWriter()
	return old, now, errors.Join(err, l.Close())
}

func exists(o *Options) error {
	if fi, err := o.FS.Stat(o.Dir); err != nil {
		return fmt.Errorf("%w: %w", ErrWALDirUnusable, err)
	} else if !fi.IsDir() {
		return fmt.Errorf("%w: %s: not a directory", ErrWALDirUnusable, o.Dir)
	}
	return nil
}

// look reads a directory. The log it returns can Read and nothing else.
func look(o Options) (*Log, *Inspection, error) {
	start := time.Now()
	o = o.WithDefaults()
	if err := exists(&o); err != nil {
		return nil, nil, err
	}
	for range 20 {
		l := &Log{o: o, fs: o.FS, boot: o.BootID()}
		r := newReading(l, true)
		err := r.run()
		if err == nil {
			in := r.inspection()
			in.Duration = time.Since(start)
			return l, in, nil
		}
		l.closeFiles()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrWALDirUnusable, o.Dir, err)
		}
		// Its owner has just removed a segment: what is live of it is in a newer one.
	}
	return nil, nil, fmt.Errorf("%w: %s: it keeps changing", ErrWALDirUnusable, o.Dir)
}

func (r *reading) inspection() *Inspection {
	l := r.l
	in := &Inspection{Recovered: *r.rec, SetAside: r.bad, Leftovers: r.leftovers}
	if in.NewWriter {
		in.Writer = in.OldWriter
	}
	for _, s := range l.segs {
		in.Segments = append(in.Segments, SegmentInfo{s.num, s.version, s.size, s.end, min(s.synced, s.end), s.live, s.liveBytes, s.damaged})
	}
	for k := range l.sinks {
		sk := &l.sinks[k]
		for si, c := range sk.cursors {
			if c.next > 0 {
				in.Cursors = append(in.Cursors, CursorInfo{sk.name, l.streams[si].key, c.next - 1, c.digest})
			}
		}
	}
	slices.SortStableFunc(in.Cursors, func(a, b CursorInfo) int { return cmp.Compare(a.Sink, b.Sink) })
	body, err := readCounters(l.fs, l.path(countersName))
	in.Counters, in.CountersErr = len(body), err
	if b, err := vfs.ReadFile(l.fs, l.path(lockName), 64); err == nil {
		in.Owner = strings.TrimSpace(string(b))
	}
	return in
}
