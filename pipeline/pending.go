package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// pending is a sealed slice on its way: committed, and held until every sink is done with it. With a WAL its bytes may be there only.
type pending struct {
	slice  canon.SealedSlice // zero: the bytes are in the WAL only
	stream *stream
	arena  *arena // that the slice's bytes lie in; nil: they are in the WAL only
	seq    uint64
	digest canon.Digest
	units  u128
	size   int     // of its bytes
	ref    wal.Ref // where a WAL keeps them
	epoch  uint64
	at     time.Time
	need   atomic.Int32 // required sinks that have not acked
	hold   atomic.Int32 // sinks that may still read the bytes
	items  []lane.Item  // one a sink
}

// take notes what is asked of a slice when its bytes are gone.
func (q *pending) take(s canon.SealedSlice) {
	lo, hi := s.Units()
	q.slice, q.seq, q.digest, q.units, q.size = s, s.Head().Seq, s.Digest(), u128{Hi: hi, Lo: lo}, len(s.Bytes())
}

// inMemory reports whether the bytes are.
func (q *pending) inMemory() bool { return q.arena != nil }

// pendingPool keeps pending records for use again. Safe for concurrent use.
type pendingPool struct {
	mu   sync.Mutex
	free []*pending
}

const mostSpare = 16384

func (p *pendingPool) get(sinks int) *pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		q := p.free[n-1]
		p.free = p.free[:n-1]
		return q
	}
	return &pending{items: make([]lane.Item, sinks)}
}

// releasePending is called once for each sink that needs the slice no more; the last call frees the slice's memory.
func (p *Pipeline) releasePending(q *pending) {
	if q.hold.Add(-1) != 0 {
		return
	}
	if q.arena != nil {
		q.arena.release()
	}
	q.arena, q.stream, q.slice, q.ref = nil, nil, canon.SealedSlice{}, wal.Ref{}
	clear(q.items)
	p.s.spare.mu.Lock()
	if len(p.s.spare.free) < mostSpare {
		p.s.spare.free = append(p.s.spare.free, q)
	}
	p.s.spare.mu.Unlock()
}
