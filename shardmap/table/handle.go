package table

import "sync/atomic"

// Handle is a key bound to its row: one load finds the counter while the generation lasts; when it changes the key is
// looked up, or inserted, again. So a handle is valid for ever and never credits the key that now has its row.
// Any number of goroutines may share one.
type Handle struct {
	c      *Core
	ref    atomic.Uint64 // generation<<32 | row
	stream uint32
	key    Packed
	h, q   uint64
}

// Bind returns a handle on the key's row, which is made if need be.
func (c *Core) Bind(key *Packed, h, q uint64, stream uint32) (*Handle, Status) {
	ref, s := c.insert(key, h, q, stream, 0)
	if s != OK {
		return nil, s
	}
	b := &Handle{c: c, stream: stream, key: *key, h: h, q: q}
	b.ref.Store(ref)
	return b, OK
}

// Add counts inc: OK, Full (the row was evicted and there is no room for it now) or Closed.
func (b *Handle) Add(inc uint64) Status {
	ref := b.ref.Load()
	c := b.c
	t := c.Pin()
	if g := c.gen.Load(); g != nil && uint64(g.id) == ref>>32 {
		row := uint32(ref)
		if p, ok := g.Own(t, row); ok {
			if n := *p + inc; n|inc < g.limit {
				*p = n
				c.Unpin(t)
				return OK
			}
		} else if g.countShared(row, inc) {
			c.Unpin(t)
			return OK
		}
	}
	c.Unpin(t)
	return b.again(inc)
}

// again resolves the handle anew, or takes the locked path for a large increment.
func (b *Handle) again(inc uint64) Status {
	ref, s := b.c.insert(&b.key, b.h, b.q, b.stream, inc)
	if s == OK {
		b.ref.Store(ref)
	}
	return s
}

// Count is Add for callers who can't do anything about a refusal: it goes to the function given to OnRefused. It is the
// fastest way to count, and small enough to be inlined.
func (b *Handle) Count(inc uint64) { handleCount(b, inc) }

func (b *Handle) countPinned(inc uint64) {
	if b.Add(inc) != OK && b.c.refused != nil {
		k := b.key
		b.c.refused(&k, inc)
	}
}

// Refused sets what Handle.Count tells of units that it could not count. Set it before the first handle is made.
func (c *Core) Refused(fn func(key *Packed, inc uint64)) { c.refused = fn }
