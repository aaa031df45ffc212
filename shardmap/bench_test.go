package shardmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

type wideMap struct{ m *Wide }

func (w wideMap) record(k WideKey, inc uint64) error { return w.m.Record(&k, inc) }

func newWideMap(b *testing.B, capacity int) wideMap {
	m, err := NewWide(Config{Capacity: capacity})
	if err != nil {
		b.Fatal(err)
	}
	m.OnMiss(func(k WideKey, inc uint64) error {
		if s := m.Insert(&k, uint32(k.Dimension), inc); s != OK {
			return errors.New(s.String())
		}
		return nil
	})
	return wideMap{m}
}

// mutexMap is the baseline: 64 maps, a mutex each.
type mutexMap struct {
	shards [64]struct {
		sync.Mutex
		m map[WideKey]uint64
		_ [40]byte
	}
}

func newMutexMap() *mutexMap {
	b := new(mutexMap)
	for i := range b.shards {
		b.shards[i].m = map[WideKey]uint64{}
	}
	return b
}

func (b *mutexMap) record(k WideKey, inc uint64) {
	x := binary.LittleEndian.Uint64(k.Tenant[8:]) ^ binary.LittleEndian.Uint64(k.Subject[8:]) ^ uint64(k.Namespace)
	s := &b.shards[x*0x9e3779b97f4a7c15>>58]
	s.Lock()
	s.m[k] += inc
	s.Unlock()
}

func benchKeys(n int) []WideKey {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	ks := make([]WideKey, n)
	for i := range ks {
		k := &ks[i]
		binary.BigEndian.PutUint64(k.Tenant[8:], uint64(i%1000))
		binary.LittleEndian.PutUint64(k.Subject[:], r.Uint64())
		binary.LittleEndian.PutUint64(k.Subject[8:], r.Uint64())
		k.Namespace, k.Dimension = uint32(i%5), uint8(i%3)
	}
	r.Shuffle(n, func(i, j int) { ks[i], ks[j] = ks[j], ks[i] })
	return ks
}

const benchSeq = 1 << 20

// eightyTwenty draws indexes below n: 80 % of the draws from the first fifth.
func eightyTwenty(n int, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 3))
	hot := max(n/5, 1)
	q := make([]uint32, benchSeq)
	for i := range q {
		if r.IntN(10) < 8 {
			q[i] = uint32(r.IntN(hot))
		} else {
			q[i] = uint32(hot + r.IntN(max(n-hot, 1)))
		}
		q[i] %= uint32(n)
	}
	return q
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000, 200_000, 2_000_000} {
		ks := benchKeys(n)
		q := eightyTwenty(n, 1)
		w, base := newWideMap(b, max(n, 1000)), newMutexMap()
		for _, k := range ks {
			w.record(k, 1)
			base.record(k, 1)
		}
		b.Run(fmt.Sprintf("keys=%d/map=wide", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				w.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
			}
		})
		b.Run(fmt.Sprintf("keys=%d/map=mutex64", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				base.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
			}
		})
		if n > 200_000 {
			continue
		}
		b.Run(fmt.Sprintf("keys=%d/cores=%d/map=wide", n, runtime.GOMAXPROCS(0)), func(b *testing.B) {
			var off atomic.Uint32
			b.RunParallel(func(pb *testing.PB) {
				for i := off.Add(7919 * 13); pb.Next(); i++ {
					w.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
				}
			})
		})
		b.Run(fmt.Sprintf("keys=%d/cores=%d/map=mutex64", n, runtime.GOMAXPROCS(0)), func(b *testing.B) {
			var off atomic.Uint32
			b.RunParallel(func(pb *testing.PB) {
				for i := off.Add(7919 * 13); pb.Next(); i++ {
					base.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
				}
			})
		})
		runtime.KeepAlive(base)
	}
}

func BenchmarkHandle(b *testing.B) {
	for _, n := range []int{1, 10_000, 200_000} {
		ks, q := benchKeys(n), eightyTwenty(n, 1)
		m, err := NewWide(Config{Capacity: max(n, 1000)})
		if err != nil {
			b.Fatal(err)
		}
		hs := make([]*WideCounter, n)
		for i := range ks {
			hs[i], _ = m.Counter(&ks[i], 0)
		}
		b.Run(fmt.Sprintf("keys=%d/counter=wide", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				hs[q[i&(benchSeq-1)]].Add(uint64(i & 7))
			}
		})
		cells := make([]struct {
			atomic.Uint64
			_ [56]byte
		}, n)
		b.Run(fmt.Sprintf("keys=%d/counter=xadd", n), func(b *testing.B) {
			for i := range b.N {
				cells[q[i&(benchSeq-1)]].Add(uint64(i & 7))
			}
		})
	}
}

// BenchmarkTotals passes over all counters, as the metrics do once a second.
func BenchmarkTotals(b *testing.B) {
	for _, n := range []int{4096, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			w := newWideMap(b, n)
			for _, k := range benchKeys(n) {
				w.record(k, 3)
			}
			w.m.Scan()
			w.m.Commit()
			var recorded, open [4]U128
			for b.Loop() {
				w.m.Totals(recorded[:], open[:])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}
