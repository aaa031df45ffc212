package table

import "sync/atomic"

// Where a key is. Its hash names a bucket, the bucket a home (hintShift buckets share one) and a hint. A key is at
// home+hint of its bucket, or else it is reached from home slot by slot, without passing a free one. A hint is set
// once, from zero, by the first key of the bucket that finds its home taken; keys placed while it was zero were
// placed by the second rule, so setting it loses none. Slots are never freed while the generation lives.

// is reports whether the key with tag seed q is at row. Slots being filled are no key's.
func (c *Core) is(g *Gen, row uint32, tag uint64, key *Packed, q uint64) bool {
	if tag != Tag(q, row) {
		return false
	}
	l := &c.layout
	for i := range l.Words - 1 {
		d := *g.word(row, i) ^ key[i]
		if i == l.StreamWord {
			d &^= (1<<l.StreamBits - 1) << l.StreamShift
		}
		if d != 0 {
			return false
		}
	}
	return true
}

// find returns the row of the key, or the first free slot from home on. The caller holds the bucket's partition lock,
// so no one inserts the same key meanwhile; slots being filled under other locks are other keys and are passed over.
func (c *Core) find(g *Gen, key *Packed, b, q uint64) (row uint32, found bool) {
	tagWord := c.layout.Words - 1
	if row = g.First(b); c.is(g, row, atomic.LoadUint64(g.word(row, tagWord)), key, q) {
		return row, true
	}
	for row = g.Home(b); ; {
		tag := atomic.LoadUint64(g.word(row, tagWord))
		if tag == 0 {
			return row, false
		}
		if c.is(g, row, tag, key, q) {
			return row, true
		}
		if row++; row == g.n {
			row = 0
		}
	}
}

// claim takes a free slot for the key: where its bucket's hint says, or from home on, with a hint left if there was none.
func (c *Core) claim(g *Gen, key *Packed, b, q uint64) uint32 {
	tagWord := c.layout.Words - 1
	for {
		if row := g.First(b); atomic.CompareAndSwapUint64(g.word(row, tagWord), 0, claimed) {
			return row
		}
		row, _ := c.find(g, key, b, q)
		if !atomic.CompareAndSwapUint64(g.word(row, tagWord), 0, claimed) {
			continue // taken under another partition's lock
		}
		if d := row - g.Home(b); Pinned && d <= maxHint && *g.hint(b) == 0 {
			*g.hint(b) = uint8(d)
		}
		return row
	}
}

// take claims a slot for the key, fills it and publishes it by its tag. The caller holds the bucket's partition lock
// and has reserved place i of the log.
func (c *Core) take(g *Gen, key *Packed, b, q uint64, stream uint32, i uint32) uint32 {
	l := &c.layout
	row := c.claim(g, key, b, q)
	for w := range l.Words - 1 {
		v := key[w]
		if w == l.StreamWord {
			v |= uint64(stream) << l.StreamShift
		}
		*g.word(row, w) = v
	}
	g.dims[row] = c.dim(key)
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
	b := g.Bucket(h)
	row, found := c.find(g, key, b, q)
	if !found {
		i, ok := g.reserve()
		if !ok {
			return 0, Full
		}
		row = c.take(g, key, b, q, stream, i)
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

// AtFirst reports whether the key is where Add looks first: the hit rate of the hints, for tests.
func (c *Core) AtFirst(key *Packed, h, q uint64) bool {
	g := c.sealer.cur
	row := g.First(g.Bucket(h))
	return c.is(g, row, atomic.LoadUint64(g.word(row, c.layout.Words-1)), key, q)
}
