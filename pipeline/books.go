package pipeline

import "sync"

// books keeps the conservation figures of each dimension as the pipeline sees them: what it sealed and what became of it. What was recorded
// and what is open come from the shard map, so that the two sides check each other. Guarded by mu.
type books struct {
	mu  sync.Mutex
	dim []book
}

// book is one dimension's page.
type book struct {
	pending, acked, gap, saturated, rejected u128
	// earlier is what was sealed before this map's counters began: recorded in former runs.
	earlier u128
}

func newBooks(n int) *books { return &books{dim: make([]book, n)} }

// edit changes one dimension's page.
func (b *books) edit(d Dimension, f func(*book)) {
	b.mu.Lock()
	f(&b.dim[d])
	b.mu.Unlock()
}

// page returns a copy of one dimension's page.
func (b *books) page(d int) book {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dim[d]
}
