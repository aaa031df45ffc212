package table

import "math"

// SweepReport says what a sweep did.
type SweepReport struct {
	Rebuilt     bool // the generation changed: row numbers are new
	Evicted     int  // rows left out
	Resurrected int  // rows that were to be left out, but were counted on meanwhile
	Rows        int  // rows now
}

// Sweep leaves out rows that have been idle, that is without an open unit, at idle consecutive calls (at least 1), by
// moving the others to a new generation: nothing is lost, recorders are not stopped (but for one stop of the world,
// some microseconds), and inserts wait for the last part of the move. It acts where it pays: when a sixteenth of the
// capacity can go, or anything can while the map is three quarters full; also when GOMAXPROCS has outgrown the
// columns. The sealer calls it, at most once a window and never between Scan and Commit or Abort.
//
// With a counter file the new generation is a file of its own, which takes the old one's name once it is whole. So that a kill at any moment finds one
// file with everything, nobody counts while the open units are brought over: records wait for that, as inserts do, some 50 ns a row. Where the file
// can't be made, the old generation goes on.
func (c *Core) Sweep(idle int) (rep SweepReport, err error) {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	s, old := &c.sealer, c.sealer.cur
	s.sweeps++
	rep.Rows = int(old.used.Load())
	if s.attempt || c.gen.Load() == nil {
		return rep, nil
	}
	c.drain()
	idle = min(max(idle, 1), math.MaxUint16)
	cur := s.epoch & 1
	sealed := func(row uint32) U128 { return U128{old.baseHi[cur][row], old.baseLo[cur][row]} }
	out := make([]bool, 0, s.drained) // by place in the log
	for i := range s.drained {
		row := old.log[i] - 1
		gone := int(uint16(s.sweeps)-s.seen[row]) >= idle && old.value(row) == sealed(row)
		out = append(out, gone)
		if gone {
			rep.Evicted++
		}
	}
	pays := rep.Evicted*16 >= int(old.capacity) || rep.Evicted > 0 && rep.Rows*4 >= int(old.capacity)*3
	if !pays && columns(&c.cfg) <= old.cols {
		rep.Evicted = 0
		return rep, nil
	}
	if c.file != nil {
		c.beginFile()
	}
	next, err := c.newGen(old.id+1, c.cfg.Capacity)
	if err != nil {
		rep.Evicted = 0
		return rep, err
	}
	// The new row of each old one that moves, by place in the log. Room for a row is never taken by a newer key
	// before the evicted rows have been looked at again: that happens under the locks.
	moved := make([]uint32, s.drained, old.capacity)
	var k Packed // one for all: it escapes
	move := func(i uint32) uint32 {
		row := old.log[i] - 1
		k = c.key(old, row)
		h, q := c.layout.Hash(&k, &c.seed)
		at, _ := next.reserve()
		return c.take(next, &k, next.Bucket(h), q, c.stream(old, row), at)
	}
	for i := range s.drained {
		if !out[i] {
			moved[i] = move(i)
		}
	}
	c.lockAll() // no insert, no large add, from here on
	defer c.unlockAll()
	for n := old.used.Load(); uint32(len(moved)) < n; {
		moved = append(moved, move(uint32(len(moved))))
		out = append(out, false)
	}
	if c.file != nil {
		c.publish(nil) // recorders take the slow path, and wait there for the locks
	} else {
		c.publish(next)
	}
	c.grace() // now nobody counts in old
	c.fileStep()
	seen := make([]uint16, next.n)
	var retired [len(s.retired)]U128
	for i, row := range moved {
		if i == len(moved)/2 {
			c.fileStep()
		}
		from := old.log[i] - 1
		open := old.value(from).Sub(sealed(from))
		k = c.key(old, from)
		d := c.dim(&k)
		retired[d] = retired[d].Add(sealed(from))
		if out[i] {
			if open.IsZero() {
				continue
			}
			row = move(uint32(i))
			rep.Evicted, rep.Resurrected = rep.Evicted-1, rep.Resurrected+1
		}
		next.addWide(row, open)
		seen[row] = uint16(s.sweeps)
		if open.IsZero() && uint32(i) < s.drained {
			seen[row] = s.seen[from]
		}
	}
	if c.file != nil {
		if err := c.endFile(next); err != nil {
			c.publish(old) // as it was
			next.free()
			return SweepReport{Rows: int(old.used.Load())}, err
		}
		c.publish(next)
	}
	for d := range retired {
		s.retired[d] = s.retired[d].Add(retired[d])
	}
	s.init(next)
	c.drain()
	copy(s.seen, seen)
	rep.Rebuilt, rep.Rows = true, int(next.used.Load())
	old.free() // its memory; nobody is in it
	return rep, nil
}
