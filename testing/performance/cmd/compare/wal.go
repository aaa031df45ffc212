//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	tidwall "github.com/tidwall/wal"
	"golang.org/x/sys/unix"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/testing/performance/harness"
)

// body is the size of one record: a sealed slice of 4,096 rows.
const body = 150 << 10

// walCommit compares durable commits of one record and of 64 with a bare preallocated write and fdatasync, and with tidwall/wal. The
// digests are made beforehand: the seal has them already.
func walCommit(o *options) error {
	dir, err := os.MkdirTemp(".", "wal-compare-") // not in the temporary directory, which may be memory
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, batch := range []int{1, 64} {
		cs, done, err := walContenders(filepath.Join(dir, fmt.Sprint(batch)), batch)
		if err == nil {
			cfg := *o
			cfg.Target = max(o.Target, 10*time.Millisecond*time.Duration(batch)/4)
			cfg.print(fmt.Sprintf("wal: commit of %d × 150 KiB, durable", batch), "bare write+fdatasync", 1, cs)
			o.all = cfg.all
		}
		if derr := done(); err == nil {
			err = derr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func walContenders(dir string, batch int) (cs []harness.Contender, done func() error, err error) {
	var f fatal
	var closers []io.Closer
	done = func() error {
		for _, c := range closers {
			f.note(c.Close())
		}
		return f.err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, done, err
	}
	r := rand.New(rand.NewPCG(3, uint64(batch)))
	bodies := make([][]byte, batch)
	digests := make([]canon.Digest, batch)
	for i := range bodies {
		bodies[i] = make([]byte, body)
		for j := range bodies[i] {
			bodies[i][j] = byte(r.Uint32())
		}
		digests[i] = canon.Sum(bodies[i])
	}
	timed := func(name string, one func() (time.Duration, error)) {
		cs = append(cs, harness.Contender{Name: name, Bytes: body * batch, Timed: func(n int) (sum time.Duration) {
			for range n {
				d, err := one()
				f.note(err)
				sum += d
			}
			return sum
		}})
	}

	ours, _, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "ours")}, wal.Identity{WindowS: 300, Dimensions: []string{"bytes"}})
	if err != nil {
		return nil, done, err
	}
	closers = append(closers, ours)
	var epoch uint64
	entries := make([]wal.Entry, batch)
	timed("ours wal.Append", func() (time.Duration, error) {
		epoch++
		for i := range entries {
			e := wal.Entry{Stream: wal.Stream{Tenant: canon.IDFromUint64(uint64(i)), Dimension: "bytes"}, Seq: epoch - 1, Digest: digests[i], Units: wal.UnitsOf(1),
				SealedAtMS: 1_790_000_000_000 + epoch, WindowStartS: 1_790_000_100 / 300 * 300, WindowEndS: 1_790_000_100/300*300 + 300, Body: bodies[i]}
			if epoch > 1 {
				e.HasPrev, e.Prev = true, digests[i]
			}
			entries[i] = e
		}
		start := time.Now()
		err := ours.Append(&wal.Commit{Epoch: epoch, Entries: entries})
		d := time.Since(start)
		for i := range entries {
			ours.Ack(entries[i].Stream, epoch-1)
		}
		return d, err
	})

	bare, err := newBare(filepath.Join(dir, "bare"), bodies)
	if err != nil {
		return nil, done, err
	}
	closers = append(closers, bare)
	timed("bare write+fdatasync", bare.commit)

	opts := *tidwall.DefaultOptions
	tw, err := tidwall.Open(filepath.Join(dir, "tidwall"), &opts)
	if err != nil {
		return nil, done, err
	}
	closers = append(closers, tw)
	var index, kept uint64
	timed("tidwall/wal batch", func() (time.Duration, error) {
		var b tidwall.Batch
		for i := range bodies {
			index++
			b.Write(index, bodies[i])
		}
		start := time.Now()
		err := tw.WriteBatch(&b)
		d := time.Since(start)
		if index > kept+uint64(batch)*32 && err == nil { // it keeps everything else
			kept = index - uint64(batch)
			err = tw.TruncateFront(kept)
		}
		return d, err
	})
	return cs, done, nil
}

// bare is the floor: a preallocated file written round and round, one vectored write and one fdatasync a commit.
type bare struct {
	f      *os.File
	at     int64
	size   int64
	bodies [][]byte
	bytes  int64
}

func newBare(path string, bodies [][]byte) (*bare, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	b := &bare{f: f, bodies: bodies, bytes: int64(len(bodies)) * body}
	b.size = max(32<<20, b.bytes*4)
	if err := unix.Fallocate(int(f.Fd()), 0, 0, b.size); err != nil {
		return nil, err
	}
	return b, f.Sync()
}

func (b *bare) commit() (time.Duration, error) {
	if b.at+b.bytes > b.size { // fresh space again, as a new preallocated segment is; not measured
		b.at = 0
		if err := unix.Fallocate(int(b.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, b.size); err != nil {
			return 0, err
		}
		if err := unix.Fallocate(int(b.f.Fd()), 0, 0, b.size); err != nil {
			return 0, err
		}
		if err := b.f.Sync(); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	n, err := unix.Pwritev(int(b.f.Fd()), b.bodies, b.at)
	if err == nil && int64(n) != b.bytes {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = unix.Fdatasync(int(b.f.Fd()))
	}
	b.at += b.bytes
	return time.Since(start), err
}

func (b *bare) Close() error { return b.f.Close() }
