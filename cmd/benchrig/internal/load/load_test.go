package load

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a target that adds up what it took, refuses one row in refuse, and may stall once.
type counter struct {
	mu     sync.Mutex
	rows   int
	units  uint64
	refuse int
	stall  time.Duration
}

var errFull = errors.New("full")

func (c *counter) RecordBatch(b *workload.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.N {
		if c.rows++; c.refuse > 0 && c.rows%c.refuse == 0 {
			b.Reject(i, errFull)
			continue
		}
		c.units += b.Incs[i]
	}
	time.Sleep(c.stall)
	c.stall = 0
}

func start(t *testing.T, rate float64, d time.Duration, c *counter) (*Load, *Sample) {
	t.Helper()
	s, err := workload.ByName("w1")
	if err != nil {
		t.Fatal(err)
	}
	s.Rate = rate
	l := Start(t.Context(), Options{Spec: s, Producers: 3, Duration: d}, c)
	<-l.Done()
	sample := NewSample()
	l.Take(sample)
	return l, sample
}

func TestOffersExactlyTheSchedule(t *testing.T) {
	c := &counter{refuse: 10}
	l, sample := start(t, 10_001, 300*time.Millisecond, c)
	if c.rows != 3000 || sample.Rows != 2700 {
		t.Errorf("offered %d rows, accepted %d; want 3000 and 2700", c.rows, sample.Rows)
	}
	units := uint64(0)
	for _, u := range l.Totals() {
		units += u
	}
	if units != c.units {
		t.Errorf("totals hold %d units, the target took %d", units, c.units)
	}
	if n := l.Rejected()["full"]; n != 300 {
		t.Errorf("%d refused, want 300", n)
	}
}

// A stall of the target is paid by the batches that were due meanwhile: no coordinated omission.
func TestStallShowsAsLag(t *testing.T) {
	const stall = 100 * time.Millisecond
	_, sample := start(t, 64*3*100, 400*time.Millisecond, &counter{stall: stall}) // a batch every 10 ms and producer
	late := int64(0)
	for _, bar := range sample.Lag.Distribution() {
		if bar.From >= int64(stall/4) {
			late += bar.Count
		}
	}
	if late < 6 {
		t.Errorf("%d batches were late by a quarter of the stall, want at least 6", late)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	s, _ := workload.ByName("w3")
	ctx, cancel := context.WithCancel(t.Context())
	l := Start(ctx, Options{Spec: s, Producers: 2, Duration: time.Hour}, Idle{})
	cancel()
	select {
	case <-l.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("still running 5 s after the interrupt")
	}
}

// A rate that can't be given ends all the same, and what was not offered is told.
func TestImpossibleRateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := workload.ByName("w1")
		if err != nil {
			t.Fatal(err)
		}
		s.Rate = 1e6
		l := Start(t.Context(), Options{Spec: s, Producers: 1, Duration: time.Second}, sleeper{})
		<-l.Done()
		if l.Missed() == 0 || l.Elapsed() > 2*time.Second+overdue+time.Second {
			t.Errorf("%d rows missed after %v", l.Missed(), l.Elapsed())
		}
	})
}

// sleeper takes a tenth of a second for each batch.
type sleeper struct{}

func (sleeper) RecordBatch(*workload.Batch) { time.Sleep(100 * time.Millisecond) }
