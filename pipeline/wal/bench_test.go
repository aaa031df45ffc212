package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

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

// BenchmarkWALCommit compares a durable commit with the floor under it: the same bytes in one write into a preallocated file and an fdatasync.
func BenchmarkWALCommit(b *testing.B) {
	for _, k := range []struct{ size, batch int }{{150 << 10, 1}, {150 << 10, 64}, {64 * 150 << 10, 64}, {4 << 10, 1}} {
		name := fmt.Sprintf("bytes=%d/batch=%d", k.size, k.batch)
		b.Run(name, func(b *testing.B) {
			l, _, err := Open(Options{Dir: b.TempDir(), MaxBytes: 1 << 30}, testIdentity)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			c, acked, writer := benchCommit(k.size, k.batch), make([]Mark, k.batch), l.Writer()
			b.SetBytes(int64(k.size))
			for b.Loop() {
				next(l, c, writer, acked)
				if err := l.Append(c); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/path=floor", func(b *testing.B) {
			f, err := vfs.OS.OpenFile(filepath.Join(b.TempDir(), "floor"), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			body, size := make([]byte, k.size), int64(maxSegment)
			at := size
			b.SetBytes(int64(k.size))
			for b.Loop() {
				if at+int64(len(body)) > size { // as the log: a new file each 32 MiB; here its blocks are only given back and taken anew
					if err := f.Truncate(0); err != nil {
						b.Fatal(err)
					}
					if err := f.Preallocate(size); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
					at = 0
				}
				if _, err := f.WriteAt(body, at); err != nil {
					b.Fatal(err)
				}
				if err := f.Datasync(); err != nil {
					b.Fatal(err)
				}
				at += int64(len(body))
			}
		})
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
