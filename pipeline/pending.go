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
func (q *pending) take(s *canon.SealedSlice) {
	lo, hi := s.Units()
	q.slice, q.seq, q.digest, q.units, q.size = *s, s.Head().Seq, s.Digest(), u128{Hi: hi, Lo: lo}, len(s.Bytes())
}

// inMemory reports whether the bytes are.
func (q *pending) inMemory() bool { return q.arena != nil }

// pendingPool keeps pending records for use again. Safe for concurrent use.
type pendingPool struct {
	mu   sync.Mutex
	free []*pending
}

const mostSpare = 16384

// get appends n records to out.
func (p *pendingPool) get(out []*pending, n, sinks int) []*pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := max(len(p.free)-n, 0)
	out = append(out, p.free[k:]...)
	n -= len(p.free) - k
	p.free = p.free[:k]
	for range n {
		out = append(out, &pending{items: make([]lane.Item, sinks)})
	}
	return out
}

// put takes records back.
func (p *pendingPool) put(free []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, free[:min(len(free), max(mostSpare-len(p.free), 0))]...)
}

// releasePending is called once for each sink that needs the slices no more; the last call frees their memory.
func (p *Pipeline) releasePending(out ...*pending) {
	var free [32]*pending
	n := 0
	for _, q := range out {
		if q.hold.Add(-1) != 0 {
			continue
		}
		q.clear()
		free[n] = q
		if n++; n == len(free) {
			p.s.spare.put(free[:])
			n = 0
		}
	}
	p.s.spare.put(free[:n])
}

// clear lets go of what the record holds.
func (q *pending) clear() {
	if q.arena != nil {
		q.arena.release()
	}
	q.arena, q.stream, q.slice, q.ref = nil, nil, canon.SealedSlice{}, wal.Ref{}
	clear(q.items)
}
