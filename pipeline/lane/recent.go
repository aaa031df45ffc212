package lane

import (
	"sync"

	"github.com/ron-accounting/ron-accounting/canon"
)

// recent remembers the digests of the last acks, by lane and seq: a direct-mapped table, so that adding and asking touch one
// entry, nothing is allocated, and an entry lives until another ack falls on it. A miss costs one idempotent put.
type recent struct {
	mu      sync.Mutex
	entries []remembered
}

type remembered struct {
	lane   uint32 // Lane.id; 0: empty
	seq    uint64
	digest canon.Digest
}

func newRecent(horizon int) *recent { return &recent{entries: make([]remembered, horizon)} }

func (t *recent) at(lane uint32, seq uint64) *remembered {
	h := (uint64(lane)*0x9e3779b97f4a7c15 + seq) * 0xd6e8feb86659fd93
	h ^= h >> 32
	return &t.entries[h%uint64(len(t.entries))]
}

func (t *recent) get(lane uint32, seq uint64) (d canon.Digest, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.at(lane, seq); e.lane == lane && e.seq == seq {
		return e.digest, true
	}
	return d, false
}

// put is called with t.mu held: a batch is added under one lock.
func (t *recent) put(lane uint32, seq uint64, d *canon.Digest) {
	e := t.at(lane, seq)
	e.lane, e.seq, e.digest = lane, seq, *d
}
