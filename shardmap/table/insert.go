package table

import "sync/atomic"

// find returns the row of the key, or the free slot where it belongs. The caller holds the partition lock of h, so
// no one inserts the same key meanwhile; slots being filled under other locks are other keys and are passed over.
func (c *Core) find(g *Gen, key *Packed, h, q uint64) (row uint32, found bool) {
	l := &c.layout
	streamMask := (uint64(1)<<l.StreamBits - 1) << l.StreamShift
	for row = g.Home(h); ; {
		switch tag := atomic.LoadUint64(g.word(row, l.Words-1)); tag {
		case 0:
			return row, false
		case Tag(q, row):
			same := true
			for i := range l.Words - 1 {
				d := *g.word(row, i) ^ key[i]
				if i == l.StreamWord {
					d &^= streamMask
				}
				same = same && d == 0
			}
			if same {
				return row, true
			}
		}
		if row++; uint64(row) == g.n {
			row = 0
		}
	}
}

// take claims a free slot for the key, at or after the home of h, fills it and publishes it by its tag. The caller
// holds the partition lock of h and has room in the log at index i.
func (c *Core) take(g *Gen, key *Packed, h, q uint64, stream uint32, i uint32) uint32 {
	l := &c.layout
	var row uint32
	for {
		row, _ = c.find(g, key, h, q)
		if atomic.CompareAndSwapUint64(g.word(row, l.Words-1), 0, claimed) {
			break
		}
	}
	for w := range l.Words - 1 {
		v := key[w]
		if w == l.StreamWord {
			v |= uint64(stream) << l.StreamShift
		}
		*g.word(row, w) = v
	}
	atomic.StoreUint64(g.word(row, l.Words-1), Tag(q, row)) // publishes the slot
	atomic.StoreUint32(&g.log[i], row+1)                    // shows it to the sealer
	return row
}

// reserve takes one place in the log, false at capacity.
func (g *Gen) reserve() (i uint32, ok bool) {
	for {
		i = g.used.Load()
		if i >= g.capacity {
			return 0, false
		}
		if g.used.CompareAndSwap(i, i+1) {
			return i, true
		}
	}
}

// Insert finds the key's row or makes it, as a row of stream, and counts inc there. It is the slow path: for keys
// that Add has not found and for increments that it could not take. Any number of goroutines may call it.
func (c *Core) Insert(key *Packed, h, q uint64, stream uint32, inc uint64) Status {
	_, s := c.insert(key, h, q, stream, inc)
	return s
}

func (c *Core) insert(key *Packed, h, q uint64, stream uint32, inc uint64) (ref uint64, s Status) {
	p := c.partOf(h)
	p.Lock()
	defer p.Unlock()
	g := c.gen.Load() // can't be retired while the lock is held
	if g == nil {
		return 0, Closed
	}
	row, found := c.find(g, key, h, q)
	if !found {
		i, ok := g.reserve()
		if !ok {
			return 0, Full
		}
		row = c.take(g, key, h, q, stream, i)
	}
	t := c.Pin()
	done := g.Count(t, row, inc)
	c.Unpin(t)
	if !done {
		g.addLarge(row, inc)
	}
	return uint64(g.id)<<32 | uint64(row), OK
}

// stream returns the stream number stored in row's slot.
func (c *Core) stream(g *Gen, row uint32) uint32 {
	l := &c.layout
	return uint32(*g.word(row, l.StreamWord) >> l.StreamShift & (1<<l.StreamBits - 1))
}

// key reads row's key, without its stream.
func (c *Core) key(g *Gen, row uint32) (k Packed) {
	l := &c.layout
	for i := range l.Words - 1 {
		k[i] = *g.word(row, i)
	}
	k[l.StreamWord] &^= (1<<l.StreamBits - 1) << l.StreamShift
	return k
}

func (c *Core) dim(k *Packed) uint8 {
	if c.layout.DimWord < 0 {
		return 0
	}
	return uint8(k[c.layout.DimWord] >> c.layout.DimShift)
}
