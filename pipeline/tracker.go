package pipeline

import (
	"context"
	"sync"
)

// tracker counts the slices that are sealed and not yet acked by every required sink, by the epoch that sealed them, so that
// Flush can wait for its own and not for what comes after. Safe for concurrent use.
type tracker struct {
	mu      sync.Mutex
	total   int
	byEpoch map[uint64]int
	oldest  uint64 // no epoch before it has a slice pending
	last    uint64 // the newest epoch added
	waiters []waiter
}

type waiter struct {
	epoch uint64
	done  chan struct{}
}

func newTracker() *tracker { return &tracker{byEpoch: map[uint64]int{}} }

// add counts n slices of an epoch; epochs come in ascending order.
func (t *tracker) add(epoch uint64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = max(t.last, epoch)
	if n > 0 {
		t.byEpoch[epoch] += n
		t.total += n
	}
	t.settle()
}

// done takes n slices of an epoch off.
func (t *tracker) done(epoch uint64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total -= n
	if t.byEpoch[epoch] -= n; t.byEpoch[epoch] == 0 {
		delete(t.byEpoch, epoch)
		t.settle()
	}
}

// settle moves oldest up and wakes who waited for that. Under mu.
func (t *tracker) settle() {
	for t.oldest <= t.last && t.byEpoch[t.oldest] == 0 {
		t.oldest++
	}
	keep := t.waiters[:0]
	for _, w := range t.waiters {
		if t.oldest > w.epoch {
			close(w.done)
		} else {
			keep = append(keep, w)
		}
	}
	t.waiters = keep
}

// pending returns the number of slices not done.
func (t *tracker) pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// wait returns once every slice of epoch and those before it is done, or with ctx's error.
func (t *tracker) wait(ctx context.Context, epoch uint64) error {
	t.mu.Lock()
	if t.oldest > epoch || t.total == 0 {
		t.mu.Unlock()
		return nil
	}
	w := waiter{epoch, make(chan struct{})}
	t.waiters = append(t.waiters, w)
	t.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.waiters {
		if t.waiters[i].done == w.done {
			t.waiters = append(t.waiters[:i], t.waiters[i+1:]...)
			return ctx.Err()
		}
	}
	return nil
}
