// Package exporttest has what tests of exporters share: chains of slices to put, and the conformance suite that each
// exporter passes.
package exporttest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Chain makes a stream's slices one after another. The same stream and options give the same bytes. One goroutine.
type Chain struct {
	Stream export.Stream
	Rows   int    // of each slice; 0: heartbeats
	Start  uint64 // of the first window, Unix seconds
	Window uint64 // seconds
	Salt   uint64 // changes the increments, for a slice that conflicts

	seq  uint64
	prev *canon.Digest
	rng  *rand.Rand
}

// Stream returns stream number n of a family that is different for each tag.
func Stream(tag string, n int) export.Stream {
	d := canon.Sum([]byte(tag))
	s := export.Stream{Dimension: [...]string{"bytes", "requests", "cpu"}[n%3]}
	copy(s.Writer[:], d[:])
	s.Tenant = canon.IDFromUint64(uint64(n/3) + 1)
	return s
}

// NewChain returns a chain of one-second windows with so many rows in each slice.
func NewChain(s export.Stream, rows int) *Chain {
	return &Chain{Stream: s, Rows: rows, Start: 1_700_000_000, Window: 1}
}

// Next returns the chain's next slice, which owns its bytes.
func (c *Chain) Next() canon.SealedSlice { return c.next(nil, c.Rows) }

// NextRows is Next with another number of rows.
func (c *Chain) NextRows(rows int) canon.SealedSlice { return c.next(nil, rows) }

// Gap skips n slices and returns the one after them, which declares them lost.
func (c *Chain) Gap(n uint64, units *uint64) canon.SealedSlice {
	g := &canon.Gap{From: c.seq, To: c.seq + n - 1, Units: units, Reason: "wal_corrupt"}
	c.seq += n
	return c.next(g, c.Rows)
}

// Take returns the next n slices.
func (c *Chain) Take(n int) []canon.SealedSlice {
	out := make([]canon.SealedSlice, n)
	for i := range out {
		out[i] = c.Next()
	}
	return out
}

// Fork returns a chain that goes on as c would, but with other increments.
func (c *Chain) Fork(salt uint64) *Chain {
	f := *c
	f.Salt, f.rng = salt, nil
	return &f
}

func (c *Chain) next(g *canon.Gap, rows int) canon.SealedSlice {
	if c.rng == nil {
		c.rng = rand.New(rand.NewPCG(c.Salt, binary.BigEndian.Uint64(c.Stream.Tenant[8:])))
	}
	start := c.Start + c.seq*c.Window
	h := canon.Head{V: 1, Seq: c.seq, Gap: g, Prev: c.prev, Tenant: c.Stream.Tenant, Writer: c.Stream.Writer, Dimension: c.Stream.Dimension,
		SealedAtMS: (start + c.Window) * 1000, WindowStartS: start, WindowEndS: start + c.Window}
	list := make([]canon.Row, rows)
	for i := range list {
		list[i] = canon.Row{Namespace: 1, Subject: canon.IDFromUint64(uint64(i) + 1), Inc: 1 + c.rng.Uint64N(1<<20)}
	}
	s, err := canon.Encode(h, list)
	if err != nil {
		panic("exporttest: " + err.Error()) // a wrong use of this type
	}
	c.seq++
	d := s.Digest()
	c.prev = &d
	return s
}

// Largest returns a slice of exactly canon.MaxBytes, the first of its stream.
func Largest(s export.Stream) canon.SealedSlice {
	h := canon.Head{V: 1, Tenant: s.Tenant, Writer: s.Writer, Dimension: s.Dimension, SealedAtMS: 1_700_000_001_000,
		WindowStartS: 1_700_000_000, WindowEndS: 1_700_000_001}
	room := canon.MaxBytes - canon.SizeHead(&h, canon.MaxBytes/canon.MinRowSize)
	rows := make([]canon.Row, room/canon.MinRowSize)
	for i := range rows {
		rows[i] = canon.Row{Namespace: 1, Subject: canon.IDFromUint64(uint64(i)), Inc: 1}
		if i < room%canon.MinRowSize {
			rows[i].Inc = 100 // one byte more
		}
	}
	out, err := canon.Encode(h, rows)
	if err != nil || len(out.Bytes()) != canon.MaxBytes {
		panic(fmt.Sprintf("exporttest: %d bytes: %v", len(out.Bytes()), err))
	}
	return out
}
