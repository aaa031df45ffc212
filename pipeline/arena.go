package pipeline

import (
	"sync"
	"sync/atomic"

	"github.com/ron-accounting/ron-accounting/internal/asm"
)

// The sealed slices of an epoch lie in arenas of about arenaBytes each, or of what an epoch takes where that is less: while a sink is away each epoch
// keeps its arenas. An arena is used again once every slice in it is done with. A few slices of a stuck stream could so pin many arenas: past mostArenas
// a slice gets memory of its own instead, which dies with it.
const (
	arenaBytes = 1 << 20
	mostArenas = 64
)

// arena is memory for sealed slices.
type arena struct {
	buf  []byte
	live atomic.Int32 // slices that a sink may still read, and one for the sealer while it writes
	pool *arenaPool   // nil: left to the garbage collector
}

func (a *arena) release() {
	if a.live.Add(-1) != 0 {
		return
	}
	scribble(a.buf)
	if a.pool != nil {
		a.pool.put(a)
	}
}

// arenaPool hands out arenas. Safe for concurrent use.
type arenaPool struct {
	mu   sync.Mutex
	free []*arena
	out  int
}

// get returns an arena held by the caller. It comes from the pool while fewer than mostArenas are out.
func (p *arenaPool) get() *arena {
	p.mu.Lock()
	defer p.mu.Unlock()
	var a *arena
	if n := len(p.free); n > 0 {
		a, p.free = p.free[n-1], p.free[:n-1]
		p.out++
	} else if a = new(arena); p.out < mostArenas {
		a.pool = p
		p.out++
	}
	a.live.Store(1)
	return a
}

func (p *arenaPool) put(a *arena) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
	if len(p.free) < mostArenas/2 && cap(a.buf) <= 4*arenaBytes {
		p.free = append(p.free, a)
	}
}

// roomFor makes sure that the encoder writes into an arena, a new one where size more bytes would make the current one larger than an arena is.
func (p *Pipeline) roomFor(size int) {
	if p.s.cur != nil && len(p.s.enc.Buffer())+size > arenaBytes {
		p.finishArena()
	}
	if p.s.cur == nil {
		p.s.cur = p.s.arenas.get()
		if p.s.cur.buf == nil {
			p.s.cur.buf = make([]byte, 0, max(size, min(p.s.before+p.s.before/4, arenaBytes)))
		}
		p.s.enc.Reset(p.s.cur.buf)
	}
}

// finishArena hashes the slices of the current arena, all together, and adds them to the epoch.
func (p *Pipeline) finishArena() {
	a := p.s.cur
	if a == nil {
		return
	}
	slices := p.s.enc.Seal()
	a.buf = p.s.enc.Buffer()
	p.s.wrote += len(a.buf)
	a.live.Add(int32(len(slices)))
	now := p.o.Clock.Now()
	from := len(p.s.out)
	p.s.out = p.s.spare.get(p.s.out, len(slices), len(p.routers))
	for i, q := range p.s.out[from:] {
		if soon := from + i + prefetchRecords; soon < len(p.s.out) {
			asm.PrefetchValue(p.s.out[soon])
		}
		q.take(&slices[i])
		q.stream, q.at, q.arena = p.s.begun[i], now, a
		q.need.Store(p.required)
		q.hold.Store(int32(len(p.routers)))
	}
	p.s.begun, p.s.cur = p.s.begun[:0], nil
	a.release()
}
