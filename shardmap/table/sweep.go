package table

import "math"

// SweepReport says what a sweep did.
type SweepReport struct {
	Rebuilt     bool     // the generation changed: row numbers are new
	Evicted     int      // rows left out
	Resurrected int      // rows that were to be left out, but were counted on meanwhile
	Rows        int      // rows now
	Moves       []uint32 // where Rebuilt, by old row number: the new one plus 1, or 0 where there is no such row now
}

// Sweep leaves out rows that have been idle, that is without an open unit, at idle consecutive calls (at least 1), by
// moving the others to a new generation: nothing is lost, recorders are not stopped (but for one stop of the world,
// some microseconds), and inserts wait for the last part of the move. It acts where it pays: when a sixteenth of the
// capacity can go, or a quarter of the room that is left: the fuller the map, the fewer; also when GOMAXPROCS has outgrown the
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
	pays := rep.Evicted > 0 && rep.Evicted*4 >= min(int(old.capacity)/4, int(old.capacity)-rep.Rows)
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
	// Room for a row is never taken by a newer key before the evicted rows have been looked at again: that happens under the locks.
	moves := make([]uint32, old.n)
	var k Packed // one for all: it escapes
	move := func(i uint32) {
		row := old.log[i] - 1
		k = c.key(old, row)
		h, q := c.layout.Hash(&k, &c.seed)
		at, _ := next.reserve()
		moves[row] = 1 + c.take(next, &k, next.Bucket(h), q, c.stream(old, row), at)
	}
	for i := range s.drained {
		if !out[i] {
			move(i)
		}
	}
	c.lockAll() // no insert, no large add, from here on
	defer c.unlockAll()
	n := old.used.Load()
	for i := s.drained; i < n; i++ {
		move(i)
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
	for i, p := range old.log[:n] {
		if i == int(n)/2 {
			c.fileStep()
		}
		from := p - 1
		open := old.value(from).Sub(sealed(from))
		d := old.dims[from]
		retired[d] = retired[d].Add(sealed(from))
		if out[i] {
			if open.IsZero() {
				continue
			}
			move(uint32(i))
			rep.Evicted, rep.Resurrected = rep.Evicted-1, rep.Resurrected+1
		}
		row := moves[from] - 1
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
	s.follow(next, moves)
	copy(s.seen, seen)
	rep.Rebuilt, rep.Rows, rep.Moves = true, int(next.used.Load()), moves
	old.free() // its memory; nobody is in it
	return rep, nil
}

// follow makes next, into which rows moved, the sealer's generation. NewRows goes on where it was: its log is written anew, with the rows that it has
// told of first. All inserts are held off.
func (s *sealer) follow(next *Gen, moves []uint32) {
	places, told := s.cur.log[:s.cur.used.Load()], s.told
	n, newTold := uint32(0), uint32(0)
	for i, p := range places {
		if uint32(i) == told {
			newTold = n
		}
		if to := moves[p-1]; to != 0 {
			next.log[n] = to
			n++
		}
	}
	if int(told) == len(places) {
		newTold = n
	}
	s.init(next)
	s.take(newTold)
	s.noticed, s.told = newTold, newTold
	s.take(n)
}
