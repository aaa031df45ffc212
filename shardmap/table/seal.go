package table

import (
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/ron-accounting/ron-accounting/internal/asm"
)

// Over is what a row's open count exceeds 2^64-1 by: units that a slice can't carry.
type Over struct {
	Row   uint32
	Units U128
}

// sealer is the state of the one goroutine that seals. Totals reads it under Core.sealMu, so what Totals reads is
// written under it.
type sealer struct {
	cur     *Gen // the newest generation, also after Close
	epoch   uint64
	attempt bool
	drained uint32   // places of cur.log taken over into present and dims
	noticed uint32   // places that the last Scan or Notice covered
	told    uint32   // places that NewRows has told of
	present []uint64 // bitmap of rows
	batch   []uint64 // the same size: zero between two drains
	open    []uint64 // these three are cur's
	dims    []uint8
	seen    []uint16
	sweeps  uint32
	over    []Over
	retired [256]U128 // by dimension: sealed in generations now gone
}

func (s *sealer) init(g *Gen) {
	s.cur, s.drained, s.noticed, s.told = g, 0, 0, 0
	s.present = make([]uint64, (int(g.n)+63)/64)
	s.batch = make([]uint64, len(s.present))
	s.open, s.dims, s.seen = g.open, g.dims, g.seen
	s.over = nil
}

// Scan begins an attempt to seal epoch W+1: it reads every row's value, writes it to the inactive base area and
// computes what is open. It returns the number of rows.
// Only the sealer may call it; a new Scan replaces an attempt that was neither committed nor aborted.
func (c *Core) Scan() int {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	c.drain()
	s, g := &c.sealer, c.sealer.cur
	s.noticed, s.attempt, s.over = s.drained, true, s.over[:0]
	if g.wide.Load() == 0 {
		c.scanNarrow()
		if g.wide.Load() == 0 { // after the reads: no shared cell has wrapped before they were made
			return int(s.noticed)
		}
	}
	c.scanWide()
	return int(s.noticed)
}

// scanNarrow is Scan while every value fits 63 bits: 64 slots at a time and column by column, slots without a row as well. What an insert under
// way has counted in a slot is left out until drain knows of the row. Measured with two columns, 4096 rows: 2 µs with the kernel, 12 without.
func (c *Core) scanNarrow() {
	s, g := &c.sealer, c.sealer.cur
	scan := asm.Scan{
		Present: s.present, Cells: g.columns(), Stride: int(g.stride), Cols: g.inUse(),
		Base: g.baseLo[s.epoch&1], Next: g.baseLo[s.epoch&1^1], Open: s.open, Seen: s.seen, Now: uint16(s.sweeps),
	}
	scan.Run()
}

// scanWide is Scan in 128 bits, for generations in which some shared cell has come near its limit.
func (c *Core) scanWide() {
	s, g := &c.sealer, c.sealer.cur
	cur, next := s.epoch&1, s.epoch&1^1
	for i, w := range s.present {
		for ; w != 0; w &= w - 1 {
			row := uint32(i*64 + bits.TrailingZeros64(w))
			v := g.value(row)
			g.baseLo[next][row], g.baseHi[next][row] = v.Lo, v.Hi
			o := v.Sub(U128{g.baseHi[cur][row], g.baseLo[cur][row]})
			s.open[row] = o.Lo
			if o.Hi != 0 {
				s.open[row] = math.MaxUint64
				s.over = append(s.over, Over{row, o.Sub(U128{0, math.MaxUint64})})
			}
			if !o.IsZero() {
				s.seen[row] = uint16(s.sweeps)
			}
		}
	}
}

// Open returns, by row, the units not yet sealed as the last Scan saw them, at most 2^64-1 each; zero where there is
// no row. It is a copy: the map's own goes with its generation, at a Sweep or when the map is dropped. The sealer calls it.
func (c *Core) Open() []uint64 {
	defer runtime.KeepAlive(c)
	return slices.Clone(c.sealer.open)
}

// Gather sets dst[i] to Open()[rows[i]] for every row and returns how many of them are not zero. dst must be as long as rows.
// The sealer calls it.
func (c *Core) Gather(dst []uint64, rows []uint32) (open int) {
	open = len(rows) - asm.Gather(dst, c.sealer.open, rows)
	runtime.KeepAlive(c) // the counts are in the map's memory, not in the collector's
	return open
}

// Prefetch is a hint that Gather is soon asked for rows, and after that for those in later. It costs a fraction of a nanosecond a row, and
// pays where the table is out of cache.
func (c *Core) Prefetch(rows, later []uint32) {
	asm.PrefetchWords(c.sealer.open, rows, 256)
	asm.Prefetch(later, 1024)
}

// Saturated returns the rows of the last Scan that hold more than a slice can carry, and how much more. Committing
// without Keep seals 2^64-1 units of them and gives up the rest, which the caller counts. Valid until the next Scan.
func (c *Core) Saturated() []Over { return c.sealer.over }

// Epoch returns W, the last committed epoch.
func (c *Core) Epoch() uint64 { return c.sealer.epoch }

// Rows returns the number of row numbers: each is below it.
func (c *Core) Rows() int { return int(c.sealer.cur.n) }

// Keep leaves row out of this attempt: its units stay open. For streams that are not sealed in this epoch.
func (c *Core) Keep(row uint32) {
	s, g := &c.sealer, c.sealer.cur
	cur, next := s.epoch&1, s.epoch&1^1
	g.baseLo[next][row] = g.baseLo[cur][row]
	if g.wide.Load() != 0 {
		g.baseHi[next][row] = g.baseHi[cur][row]
	}
}

// Commit ends the attempt: what Scan saw, but for the rows kept, is sealed. With a log it is called once the log holds the epoch.
func (c *Core) Commit() {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	if c.attempt {
		c.epoch++
		c.attempt = false
		if c.committed != nil {
			atomic.StoreUint64(&c.committed[0], c.epoch)
		}
	}
}

// Abort ends the attempt as if it had not been: the epoch is used again. Only where certainly nothing of it was logged.
func (c *Core) Abort() {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	c.attempt = false
}

// Totals adds to recorded and open, by dimension, the units counted so far (since the map was made; in a recovered
// one, also what it had open) and those not yet sealed, both from one reading of the counters. Dimensions beyond a slice's length are left
// out. Any goroutine may call it; it passes over all rows, some 4 ns each, and delays a Scan by that.
func (c *Core) Totals(recorded, open []U128) {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	c.drain()
	s, g := &c.sealer, c.sealer.cur
	var t totals
	if g.wide.Load() != 0 || !c.totalsNarrow(&t) {
		t = totals{}
		c.totalsWide(&t)
	}
	for d := range recorded {
		if d < len(s.retired) {
			recorded[d] = recorded[d].Add(s.retired[d]).Add(t[d].recorded)
		}
	}
	for d := range open {
		if d < len(t) {
			open[d] = open[d].Add(t[d].open)
		}
	}
}

// totals are sums by dimension.
type totals [256]struct{ recorded, open U128 }

// totalsNarrow is to Totals what scanNarrow is to Scan, by the same kernel. It reports whether the values fitted.
func (c *Core) totalsNarrow(t *totals) bool {
	const words = 4 // of present at a time
	var value, open [words * 64]uint64
	var seen [words * 64]uint16
	var halves [len(t)][4]uint64 // sums of 32 bits each: no carries, whose wait for one another would be most of the time
	s, g := &c.sealer, c.sealer.cur
	cells, base, cols := g.columns(), g.baseLo[s.epoch&1], g.inUse()
	for i := 0; i < len(s.present); i += words {
		from := i * 64
		n := min(len(base)-from, len(value))
		scan := asm.Scan{
			Present: s.present[i:min(i+words, len(s.present))], Cells: cells[from:], Stride: int(g.stride), Cols: cols,
			Base: base[from:][:n], Next: value[:n], Open: open[:n], Seen: seen[:n],
		}
		scan.Run()
		dims := s.dims[from:][:n]
		for j, w := range scan.Present {
			for ; w != 0; w &= w - 1 {
				k := j*64 + bits.TrailingZeros64(w)
				h := &halves[dims[k]]
				h[0] += value[k] & math.MaxUint32
				h[1] += value[k] >> 32
				h[2] += open[k] & math.MaxUint32
				h[3] += open[k] >> 32
			}
		}
	}
	if g.wide.Load() != 0 { // after the reads, as in Scan
		return false
	}
	for d, h := range halves {
		t[d].recorded = U128{0, h[0]}.Add(U128{h[1] >> 32, h[1] << 32})
		t[d].open = U128{0, h[2]}.Add(U128{h[3] >> 32, h[3] << 32})
	}
	return true
}

// totalsWide is totalsNarrow in 128 bits.
func (c *Core) totalsWide(t *totals) {
	s, g := &c.sealer, c.sealer.cur
	cur := s.epoch & 1
	for i, w := range s.present {
		for ; w != 0; w &= w - 1 {
			row := uint32(i*64 + bits.TrailingZeros64(w))
			v, d := g.value(row), &t[s.dims[row]]
			d.recorded = d.recorded.Add(v)
			d.open = d.open.Add(v.Sub(U128{g.baseHi[cur][row], g.baseLo[cur][row]}))
		}
	}
}
