package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// benchCommit makes a commit of batch entries whose bodies have size bytes in all.
func benchCommit(size, batch int) *Commit {
	c := &Commit{}
	for i := range batch {
		c.Entries = append(c.Entries, entryN(i, 0, size/batch))
	}
	return c
}

// next makes c the commit of the next epoch: the same bytes under the next seqs, whose acks have come.
func next(l *Log, c *Commit, writer canon.ID, acked []Mark) {
	c.Epoch++
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Seq = c.Epoch - 1
		acked[i] = Mark{Stream: e.Stream, Seq: e.Seq - 1}
		acked[i].Stream.Writer = writer
	}
	if c.Epoch > 1 {
		l.AckBatch(acked)
	}
}

// BenchmarkWALCommit compares a durable commit with the floor under it, in turn, since a disk's speed changes by the second: the same bytes in one
// write into a preallocated file and an fdatasync. x-floor is the ratio of the medians.
func BenchmarkWALCommit(b *testing.B) {
	for _, k := range []struct{ size, batch int }{{4 << 10, 1}, {150 << 10, 1}, {150 << 10, 64}, {64 * 150 << 10, 64}} {
		b.Run(fmt.Sprintf("bytes=%d/batch=%d", k.size, k.batch), func(b *testing.B) {
			dir := b.TempDir()
			l, _, err := Open(Options{Dir: filepath.Join(dir, "wal"), MaxBytes: 1 << 30}, testIdentity)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			bare := floor{name: filepath.Join(dir, "floor"), body: make([]byte, k.size)}
			defer bare.close()
			c, acked, writer := benchCommit(k.size, k.batch), make([]Mark, k.batch), l.Writer()
			var ours, theirs []time.Duration
			for b.Loop() {
				next(l, c, writer, acked)
				start := time.Now()
				if err := l.Append(c); err != nil {
					b.Fatal(err)
				}
				ours = append(ours, time.Since(start))
				start = time.Now()
				if err := bare.commit(); err != nil {
					b.Fatal(err)
				}
				theirs = append(theirs, time.Since(start))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			mine, other := ours[len(ours)/2], theirs[len(theirs)/2]
			b.ReportMetric(float64(mine), "ns/op") // the log's half, median
			b.ReportMetric(float64(other), "floor-ns")
			b.ReportMetric(float64(mine)/float64(other), "x-floor")
		})
	}
}

// floor writes into files preallocated as the log's segments are, and nothing else.
type floor struct {
	name string
	body []byte
	f    vfs.File
	at   int64
}

func (w *floor) commit() error {
	if w.f == nil || w.at+int64(len(w.body)) > maxSegment {
		w.close()
		f, err := vfs.OS.OpenFile(w.name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Preallocate(maxSegment), f.Sync()); err != nil {
			return err
		}
		w.f, w.at = f, 0
	}
	if _, err := w.f.WriteAt(w.body, w.at); err != nil {
		return err
	}
	w.at += int64(len(w.body))
	return w.f.Datasync()
}

func (w *floor) close() {
	if w.f != nil {
		_ = w.f.Close()
	}
}

// BenchmarkWALReplay opens a log of pending entries.
func BenchmarkWALReplay(b *testing.B) {
	for _, k := range []struct{ entries, size int }{{200_000, 1 << 10}, {200_000, 128}} {
		b.Run(fmt.Sprintf("entries=%d/bytes=%d", k.entries, k.size), func(b *testing.B) {
			o := Options{Dir: b.TempDir(), MaxBytes: 1 << 30}
			fill(b, o, k.entries, k.size)
			for b.Loop() {
				l, rec, err := Open(o, testIdentity)
				if err != nil || len(rec.Pending) != k.entries {
					b.Fatal(err, len(rec.Pending))
				}
				b.StopTimer()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// fill makes a log with so many pending entries of 1,000 streams.
func fill(tb testing.TB, o Options, entries, size int) {
	l, _, err := Open(o, testIdentity)
	if err != nil {
		tb.Fatal(err)
	}
	for e := 0; e*1000 < entries; e++ {
		c := &Commit{Epoch: uint64(e + 1)}
		for i := range 1000 {
			c.Entries = append(c.Entries, entryN(i, uint64(e), size))
		}
		if err := l.Append(c); err != nil {
			tb.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}
