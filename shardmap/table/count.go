package table

import "sync/atomic"

// How increments add up. A row's value is the 128-bit sum of
//   - its cell in each P's column: written by that P alone, inside a pin; always below limit, so that the sum over all
//     columns stays below 2^63;
//   - its shared cell: added to by compare-and-swap by Ps that have no column and by the atomic path, and, for
//     increments too large for a cell, under the row's partition lock. It wraps at 2^64;
//   - its spill word: how often the shared cell has wrapped, shifted left by 2, beside the top two bits that the
//     shared cell had when the spill word was last written.
//
// Only the holder of the partition lock may change the top two bits of a shared cell, by one step at a time, and
// writes the spill word right after. So at every instant, also after a kill between the two stores, (shared, spill)
// has one meaning: if the top bits are now smaller than those remembered, one wrap is not yet entered.

const topShift = 62 // the two bits of a shared cell that guard its wrap

// Own returns the cell of row in the column of the P that token names, and whether there is such a column. Add to it
// only what keeps it below Limit.
func (g *Gen) Own(token int, row uint32) (cell *uint64, ok bool) {
	if !Pinned {
		return nil, false
	}
	return g.cell(token, row), uint(token) < uint(g.cols) // the address is not used where there is no column
}

// Limit is what an own cell, and an increment of it, must stay below; a power of two.
func (g *Gen) Limit() uint64 { return g.limit }

// Count adds inc to row from the pinned section token. It reports false, with nothing counted, where the cell cannot
// take it; the caller then leaves the section and calls the slow path. Generated code has the common part of this inlined.
func (g *Gen) Count(token int, row uint32, inc uint64) bool {
	if p, ok := g.Own(token, row); ok {
		n := *p + inc
		if n|inc < g.limit {
			*p = n // 8 bytes, aligned: the sealer's load sees the old value or the new one
			return true
		}
		return false
	}
	return g.countShared(row, inc)
}

// countShared adds inc to the shared cell where that does not touch the top two bits.
func (g *Gen) countShared(row uint32, inc uint64) bool {
	if inc>>topShift != 0 {
		return false
	}
	if g.usesShared.Load() == 0 {
		g.usesShared.Store(1) // before the first add; a scan that misses it misses only what is not yet returned
	}
	p := g.cell(g.cols, row)
	for {
		old := atomic.LoadUint64(p)
		n := old + inc
		if (n^old)>>topShift != 0 {
			return false
		}
		if atomic.CompareAndSwapUint64(p, old, n) {
			return true
		}
	}
}

// addLarge adds inc to row in steps of at most 2^61, so that each moves the top bits by one at most.
// The caller holds the row's partition lock.
func (g *Gen) addLarge(row uint32, inc uint64) {
	g.usesShared.Store(1)
	p, sp := g.cell(g.cols, row), &g.spill[row]
	for inc > 0 {
		step := min(inc, 1<<(topShift-1))
		old := atomic.LoadUint64(p)
		n := old + step
		if (n^old)>>topShift == 0 {
			if atomic.CompareAndSwapUint64(p, old, n) {
				inc -= step
			}
			continue
		}
		g.wide.Store(1) // before the first spill word: a scan that reads a wrapped cell then sees it
		if !atomic.CompareAndSwapUint64(p, old, n) {
			continue
		}
		w := atomic.LoadUint64(sp)
		if n>>topShift < w&3 {
			w += 1 << 2
		}
		atomic.StoreUint64(sp, w&^3|n>>topShift)
		inc -= step
	}
}

// addWide adds a 128-bit amount. The caller holds the row's partition lock.
func (g *Gen) addWide(row uint32, v U128) {
	if v.Hi != 0 {
		g.usesShared.Store(1)
		g.wide.Store(1)
		sp := &g.spill[row]
		atomic.StoreUint64(sp, atomic.LoadUint64(sp)+v.Hi<<2)
	}
	g.addLarge(row, v.Lo)
}

// inUse returns how many columns must be read: the shared one is the last.
func (g *Gen) inUse() int {
	if g.usesShared.Load() != 0 || g.cols == 0 {
		return g.cols + 1
	}
	return g.cols
}

// spilled returns the row's shared cell and spill word as one number, at one instant.
func (g *Gen) spilled(row uint32) U128 {
	for {
		w := atomic.LoadUint64(&g.spill[row])
		lo := atomic.LoadUint64(g.cell(g.cols, row))
		if atomic.LoadUint64(&g.spill[row]) != w {
			continue
		}
		hi := w >> 2
		if lo>>topShift < w&3 {
			hi++
		}
		return U128{hi, lo}
	}
}

// value returns all that was ever counted on row in this generation.
func (g *Gen) value(row uint32) U128 {
	var own uint64
	for c := range g.cols {
		own += atomic.LoadUint64(g.cell(c, row))
	}
	v := g.spilled(row)
	v.addTo(own)
	return v
}
