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
	t := b.c.Pin()
	g := b.c.gen.Load()
	if g != nil && g.id == uint32(ref>>32) && g.Count(t, uint32(ref), inc) {
		b.c.Unpin(t)
		return OK
	}
	b.c.Unpin(t)
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
