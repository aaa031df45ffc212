package table

import (
	"math/bits"
	"sync/atomic"
)

// How the sealer hears of new rows. Inserts write them into the generation's log; drain takes them over, under sealMu; Scan and Notice show
// what was drained to TakeNew. The part of the log that is drained is the sealer's: it may put its places in another order.

// drain takes over the rows inserted so far. Every insert that had returned is among them: a place of the log that is
// reserved but empty belongs to an insert that holds a partition lock.
func (c *Core) drain() {
	s, g := &c.sealer, c.sealer.cur
	to, used := s.drained, g.used.Load()
	for waited := false; to < used; {
		if atomic.LoadUint32(&g.log[to]) != 0 {
			to++
			continue
		}
		if waited {
			break
		}
		waited = true
		for i := range c.parts {
			c.parts[i].Lock()
			_ = c.parts[i].gate // passing through is the point
			c.parts[i].Unlock()
		}
	}
	s.take(to)
}

// cachedSlots is the size of the slots, in bytes, up to which their order does not matter.
const cachedSlots = 1 << 21

// take takes over the places of the log up to to, all of which are written. It puts the rows in the order in which they lie in memory, where they are
// dense enough for their neighbours to be worth it: a processor fetches ahead of who reads upwards, and new rows' keys are cold.
func (s *sealer) take(to uint32) {
	places := s.cur.log[s.drained:to]
	s.drained = to
	now := uint16(s.sweeps)
	if len(places) < len(s.batch) || int(s.cur.n)*s.cur.words*8 <= cachedSlots {
		for _, p := range places {
			row := p - 1
			s.present[row/64] |= 1 << (row % 64)
			s.seen[row] = now
		}
		return
	}
	for _, p := range places {
		s.batch[(p-1)/64] |= 1 << ((p - 1) % 64)
	}
	n := 0
	for i, w := range s.batch {
		s.batch[i] = 0
		s.present[i] |= w
		for ; w != 0; w &= w - 1 {
			row := uint32(i*64 + bits.TrailingZeros64(w))
			s.seen[row] = now
			places[n] = row + 1
			n++
		}
	}
}

// Notice has NewRows tell of the rows inserted so far, as Scan has, and reads no counter. It returns how many NewRows has not told of.
// The sealer calls it.
func (c *Core) Notice() int {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	c.drain()
	c.noticed = c.drained
	return c.News()
}

// News returns how many rows NewRows would tell of. The sealer calls it.
func (c *Core) News() int { return int(c.noticed - c.told) }

// fetched is how many slots TakeNew has fetched together: a page.
const fetched = 64

// TakeNew is NewRows for the generated maps, a few rows at a time: it returns the generation and the rows to tell of, each plus 1. Their slots are in
// the cache: loads that wait for nothing but memory go side by side, those of a loop that does more do not.
func (c *Core) TakeNew(most int) (g *Gen, places []uint32, left int) {
	s := &c.sealer
	g = s.cur
	from := s.told
	s.told += uint32(min(max(most, 0), fetched, int(s.noticed-s.told)))
	places = g.log[from:s.told]
	v := uint64(live)
	for _, p := range places {
		v &= atomic.LoadUint64(g.word(p-1, g.words-1)) // an insert may just be looking for a free slot here, by compare-and-swap
	}
	if v == 0 {
		panic("shardmap: a row that is not published is in the log")
	}
	return g, places, int(s.noticed - s.told)
}
