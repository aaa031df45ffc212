package pipeline

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// sameBytes is the digest of the digests of what TestSameBytes seals. It is the same on every CPU path and architecture, and never changes:
// the wire format is frozen.
const sameBytes = "b3:a6aac39a04c04e149c61cbeb24d5fafffd3c94a3d76e15b8be7381232c1d648e"

// steppedClock stands still until it is set.
type steppedClock struct{ ns atomic.Int64 }

func (c *steppedClock) Now() time.Time           { return time.Unix(0, c.ns.Load()) }
func (c *steppedClock) Monotonic() time.Duration { return time.Duration(c.ns.Load()) }

// events of one window: streams of 1 to 9000 rows, so that slices are of one chunk and of many, and one window of one stream is two slices.
func events(window uint64) (keys []Key, incs []uint64) {
	r := rand.New(rand.NewPCG(21, window))
	for tenant, rows := range []int{1, 2, 16, 17, 100, 700, 9000} {
		for row := range rows {
			if r.IntN(8) == 0 {
				continue // not in this window
			}
			k := Key{Tenant: canon.IDFromUint64(uint64(tenant)), Namespace: uint32(row%5) << (row % 5 * 7), Dimension: Dimension(row % 3)}
			k.Subject = canon.IDFromUint64(uint64(row) * 0x9e3779b97f4a7c15)
			for range 1 + r.IntN(3) {
				keys, incs = append(keys, k), append(incs, 1+r.Uint64()>>(8+r.IntN(56)))
			}
		}
	}
	return keys, incs
}

// sealEvents counts three windows of events, in their order by one goroutine or in another order by several, and returns the slices, by stream and seq.
func sealEvents(t *testing.T, goroutines int) (all []canon.SealedSlice) {
	c := &steppedClock{}
	c.ns.Store(time.Date(2026, 1, 31, 23, 50, 0, 0, time.UTC).UnixNano())
	p, err := New(Options{Clock: c, CapacityRows: 12_000, MaxRowsPerSlice: 2048})
	if err != nil {
		t.Fatal(err)
	}
	p.writer = canon.ID{0xd0, 15: 1}
	for window := range uint64(3) {
		keys, incs := events(window)
		order := rand.New(rand.NewPCG(uint64(goroutines), window)).Perm(len(keys))
		if goroutines == 1 {
			slices.Sort(order)
		}
		var done sync.WaitGroup
		for g := range goroutines {
			done.Go(func() {
				for i := g; i < len(order); i += goroutines {
					if err := p.RecordSlow(&keys[order[i]], incs[order[i]]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		c.ns.Add(int64(90 * time.Second))
		out, err := p.SealNow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out...)
		c.ns.Add(int64(210 * time.Second))
	}
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b canon.SealedSlice) int {
		x, y := a.Head(), b.Head()
		if c := x.Tenant.Compare(y.Tenant); c != 0 {
			return c
		}
		return slices.Compare([]byte(x.Dimension), []byte(y.Dimension)) // then by seq: they came in that order
	})
	return all
}

func TestSameBytes(t *testing.T) {
	for _, goroutines := range []int{1, 1, 4} {
		all := sealEvents(t, goroutines)
		var sum []byte
		var chain canon.Chain
		for i, s := range all {
			d := s.Digest()
			sum = append(sum, d[:]...)
			if h := s.Head(); h.Seq == 0 {
				chain = canon.Chain{FromStart: true}
			}
			if err := chain.Append(s); err != nil {
				t.Fatalf("slice %d: %v", i, err)
			}
		}
		if got := canon.Sum(sum).String(); got != sameBytes || len(all) < 40 {
			t.Errorf("%d goroutines: %d slices, got %s, want %s", goroutines, len(all), got, sameBytes)
		}
	}
}
