package load

import (
	"sync"
	"sync/atomic"
)

// totals are the units accepted by key number, exact, in half the memory of 64 bits a key: a rig that judges memory keeps its own small. What passes
// 32 bits, once in a long while, is carried. Safe for concurrent use; a nil one is not.
type totals struct {
	low   []uint32
	mu    sync.Mutex // guards carry
	carry map[uint32]uint64
}

func newTotals(keys int) *totals {
	return &totals{low: make([]uint32, keys), carry: map[uint32]uint64{}}
}

func (t *totals) add(key uint32, units uint64) {
	over := units &^ (1<<32 - 1)
	if low := uint32(units); atomic.AddUint32(&t.low[key], low) < low {
		over += 1 << 32
	}
	if over > 0 {
		t.mu.Lock()
		t.carry[key] += over
		t.mu.Unlock()
	}
}

// addTo adds the totals to sum. Only after the last add.
func (t *totals) addTo(sum []uint64) {
	for i, u := range t.low {
		sum[i] += uint64(u)
	}
	for i, u := range t.carry {
		sum[i] += u
	}
}
