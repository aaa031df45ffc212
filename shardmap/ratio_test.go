package shardmap

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRatio compares in short interleaved rounds and reports each one's best round and the median ratio, which other
// work on the machine disturbs less than a mean. Run it with -benchtime 1x.
func BenchmarkRatio(b *testing.B) {
	for _, n := range []int{1, 10_000, 200_000} {
		ks, q := benchKeys(n), eightyTwenty(n, 1)
		w, base := newWideMap(b, max(n, 1000)), newMutexMap()
		hs := make([]*WideCounter, n)
		xs := make([]struct {
			atomic.Uint64
			_ [56]byte
		}, n)
		for i, k := range ks {
			w.record(k, 1)
			base.record(k, 1)
			hs[i], _ = w.m.Counter(&ks[i], 0)
		}
		const ops = 20_000
		at := 0
		wide := func() {
			for i := at; i < at+ops; i++ {
				_ = w.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
			}
		}
		mutex := func() {
			for i := at; i < at+ops; i++ {
				base.record(ks[q[i&(benchSeq-1)]], uint64(i&7))
			}
		}
		handle := func() {
			for i := at; i < at+ops; i++ {
				hs[q[i&(benchSeq-1)]].Add(uint64(i & 7))
			}
		}
		xadd := func() {
			for i := at; i < at+ops; i++ {
				xs[q[i&(benchSeq-1)]].Add(uint64(i & 7))
			}
		}
		two := func() {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(wide)
			}
			wg.Wait()
		}
		fs := []func(){wide, mutex, handle, xadd, two}
		names := []string{"record", "mutex64", "handle", "xadd", "record-2cores"}
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			best := make([]time.Duration, len(fs))
			var ratios []float64
			for round := range 300 {
				at = round * 7919
				var took [5]time.Duration
				for i, f := range fs {
					t0 := time.Now()
					f()
					took[i] = time.Since(t0)
					if best[i] == 0 || took[i] < best[i] {
						best[i] = took[i]
					}
				}
				ratios = append(ratios, float64(took[0])/float64(took[1]))
			}
			for i, d := range best {
				per := float64(d.Nanoseconds()) / ops
				if i == 4 {
					per /= 2
				}
				b.ReportMetric(per, names[i]+"-ns")
			}
			b.ReportMetric(median(ratios), "record/mutex64")
			b.ReportMetric(0, "ns/op")
		})
		runtime.KeepAlive(base)
	}
}

func median(v []float64) float64 {
	for i := range v {
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
	return v[len(v)/2]
}
