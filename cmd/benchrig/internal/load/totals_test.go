package load

import (
	"math"
	"sync"
	"testing"
)

// Totals are exact beyond 32 bits, whoever adds.
func TestTotals(t *testing.T) {
	s := newTotals(3)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100_000 {
				s.add(0, 1)
				s.add(1, math.MaxUint32)
				s.add(2, 1<<40+math.MaxUint32)
			}
		})
	}
	all.Wait()
	got := []uint64{7, 0, 0}
	s.addTo(got)
	for i, want := range []uint64{400_007, 400_000 * math.MaxUint32, 400_000 * (1<<40 + math.MaxUint32)} {
		if got[i] != want {
			t.Errorf("key %d: got %d, want %d", i, got[i], want)
		}
	}
}
