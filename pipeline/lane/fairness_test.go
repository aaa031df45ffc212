package lane_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

const g0 = "lane"

func exportStream(tag string, n int) export.Stream { return exporttest.Stream(tag, n) }

// slow makes each call last a millisecond, so that queues build up.
func slow(_ context.Context, _ int, _ []canon.SealedSlice) ([]export.Result, bool) {
	time.Sleep(time.Millisecond)
	return nil, false
}

// A stream with a long queue does not delay the others: each is served once a turn.
func TestRoundRobin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = slow
		g := newRig(t, 21, ref, lane.Config{Workers: 1, MaxBatchSlices: 4})
		defer g.close(t)
		g.r.Pause()
		g.add(t, 0, 1000)
		for n := 1; n <= 20; n++ {
			g.add(t, n, 1)
		}
		g.r.Resume()
		rest(7 * time.Millisecond)
		for n := 1; n <= 20; n++ {
			if len(g.acked[n]) != 1 {
				t.Errorf("stream %d still waits behind one with 1000", n)
			}
		}
		if err := drain(t, g.r, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}

// Under WFQ backlogged tenants get slices in proportion to their weights, however many streams they have.
func TestWeights(t *testing.T) {
	for _, batch := range []int{1, 4, 9, 100} {
		bubble(t, func(t *testing.T) {
			ref := newReferee()
			ref.behave = slow
			weights := map[canon.ID]uint8{}
			// Tenants 1..4 with 3 streams each, of which tenant k uses (k-1)%3+1; weights 1, 2, 4, 8.
			want := []float64{1, 2, 4, 8}
			for k := range 4 {
				weights[canon.IDFromUint64(uint64(k+1))] = uint8(want[k])
			}
			g := newRig(t, 12, ref, lane.Config{Workers: 1, MaxBatchSlices: batch, LaneCapacity: 5000,
				Tuning: lane.Tuning{Fairness: lane.WFQ, Weights: weights}})
			defer g.close(t)
			clear(weights) // the router has its own
			for _, l := range g.lanes {
				g.r.Forget(l)
			}
			for n, c := range g.chains {
				g.lanes[n] = g.r.Lane(c.Stream)
			}
			g.r.Pause()
			for k := range 4 {
				for s := range k%3 + 1 {
					g.add(t, 3*k+s, 2000)
				}
			}
			g.r.Resume()
			rest(time.Duration(1500/batch) * time.Millisecond)
			g.r.Pause()
			synctest.Wait()
			rest(2 * time.Millisecond)
			var got [4]float64
			sum := 0.0
			for n, a := range g.acked {
				got[n/3] += float64(len(a))
				sum += float64(len(a))
			}
			for k := range got {
				share := got[k] / sum
				if ideal := want[k] / 15; math.Abs(share-ideal) > 0.02 {
					t.Errorf("batch %d: tenant with weight %v: got share %.3f, want %.3f (%v)", batch, want[k], share, ideal, got)
				}
			}
		})
	}
}

// An idle tenant saves up nothing.
func TestIdleSavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = slow
		g := newRig(t, 6, ref, lane.Config{Workers: 1, MaxBatchSlices: 2, LaneCapacity: 5000, Tuning: lane.Tuning{Fairness: lane.WFQ}})
		t.Cleanup(func() { g.close(t) }) // after the lock below is gone
		g.add(t, 0, 1000)
		rest(300 * time.Millisecond)
		g.add(t, 3, 1000) // tenant 2 begins
		before := len(g.acked[0])
		rest(100 * time.Millisecond)
		g.mu.Lock()
		defer g.mu.Unlock()
		a, b := len(g.acked[0])-before, len(g.acked[3])
		if b > a+4 || a > b+4 {
			t.Errorf("got %d and %d in the same time, want as many", a, b)
		}
	})
}

// Fairness, weights and backoff may change while slices wait.
func TestTune(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = slow
		g := newRig(t, 30, ref, lane.Config{Workers: 2, MaxBatchSlices: 3})
		defer g.close(t)
		for n := range 30 {
			g.add(t, n, 20)
		}
		for i := range 20 {
			rest(3 * time.Millisecond)
			w := map[canon.ID]uint8{canon.IDFromUint64(uint64(i + 1)): uint8(i%8 + 1)}
			if err := g.r.Tune(lane.Tuning{Fairness: lane.Fairness(i % 2), Weights: w, Base: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.r.Tune(lane.Tuning{Fairness: 9}); err == nil {
			t.Error("took fairness 9")
		}
		if err := drain(t, g.r, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}
