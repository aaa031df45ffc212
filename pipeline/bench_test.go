package pipeline

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
	"github.com/ron-accounting/ron-accounting/shardmap"
)

// benchSets is how many inputs a benchmark rotates: enough that no branch predictor learns the widths of the counts.
const benchSets = 32

// bench is a pipeline with rows that were counted, to be sealed again and again. Only the seal is timed: the background's, which hands the
// slices to nobody and copies nothing.
type bench struct {
	p    *Pipeline
	keys []*shardmap.WideKey
	incs [benchSets][]uint64
	turn int
	took []time.Duration
}

func newBench(tb testing.TB, streams, rows, capacity int) *bench {
	p, err := New(Options{CapacityRows: capacity, MaxStreams: max(streams, 16)})
	if err != nil {
		tb.Fatal(err)
	}
	x := &bench{p: p, took: make([]time.Duration, 0, 1<<17)}
	for range streams {
		x.addStream(tb, rows)
	}
	r := rand.New(rand.NewPCG(uint64(streams), uint64(rows)))
	for i := range x.incs {
		x.incs[i] = make([]uint64, 4096)
		for j := range x.incs[i] {
			x.incs[i][j] = 1 + r.Uint64()>>(20+r.IntN(44))
		}
	}
	return x
}

// addStream counts one unit on each of a new stream's rows.
func (x *bench) addStream(tb testing.TB, rows int) {
	tenant := uint64(x.p.streams.len() + 1)
	r := rand.New(rand.NewPCG(tenant, uint64(rows)))
	for range rows {
		k := Key{Tenant: canon.IDFromUint64(tenant), Namespace: uint32(r.Uint64() >> (33 + r.IntN(31)))}
		for i := range k.Subject {
			k.Subject[i] = byte(r.Uint32())
		}
		x.keys = append(x.keys, new(*k.Wide()))
		if err := x.p.RecordSlow(&k, 1+r.Uint64()>>(20+r.IntN(44))); err != nil {
			tb.Fatal(err)
		}
	}
}

// count counts units of mixed widths on every row.
func (x *bench) count(tb testing.TB) {
	incs := x.incs[x.turn%benchSets]
	x.turn++
	for i, k := range x.keys {
		if x.p.m.Add(k, incs[i%len(incs)]) != shardmap.OK {
			tb.Fatal("a known row is not counted at once")
		}
	}
}

// seal seals what was counted.
func (x *bench) seal(tb testing.TB, rows int) { x.sealTo(tb, rows, taken) }

func (x *bench) sealTo(tb testing.TB, rows int, each func(*pending)) {
	x.p.sealMu.Lock()
	defer x.p.sealMu.Unlock()
	start := time.Now()
	done, err := x.p.seal(x.p.roll.cur, sealPart, each)
	x.took = append(x.took, time.Since(start))
	if err != nil || done.rows != rows {
		tb.Fatalf("sealed %d rows of %d: %v", done.rows, rows, err)
	}
}

// report gives the median of the seals as the time of one: the machine is not always quiet.
func (x *bench) report(b *testing.B, rows int) {
	slices.Sort(x.took)
	ns := float64(x.took[len(x.took)/2].Nanoseconds())
	b.ReportMetric(ns, "ns/op")
	b.ReportMetric(float64(x.took[0].Nanoseconds()), "best-ns/op")
	b.ReportMetric(ns/float64(rows), "ns/row")
}

// cold is walked to push everything else out of the caches.
var cold []byte

func evict() {
	if cold == nil {
		cold = make([]byte, 96<<20)
	}
	for i := 0; i < len(cold); i += 64 {
		cold[i]++
	}
}

// BenchmarkSeal seals rows of one stream: again and again (hot), with everything out of the caches (cold), and rows never
// sealed before: all that they need first is done by the seal (first), or was done while the window ran, as the ticker does it (adopted).
func BenchmarkSeal(b *testing.B) {
	for _, rows := range []int{1024, 2048, 4096} {
		for _, state := range []string{"hot", "cold", "first", "adopted"} {
			b.Run(fmt.Sprintf("path=%s/rows=%d/state=%s", cpufeat.Selected(), rows, state), func(b *testing.B) {
				x := newBench(b, 1, rows, rows*5/4)
				fresh := state == "first" || state == "adopted"
				if !fresh {
					x.seal(b, rows)
					x.count(b)
					x.seal(b, rows)
					x.took = x.took[:0]
				}
				if fresh {
					defer debug.SetGCPercent(debug.SetGCPercent(-1))
				}
				b.ReportAllocs()
				for b.Loop() {
					switch state {
					case "hot":
						x.count(b)
					case "cold":
						x.count(b)
						evict()
					case "first", "adopted":
						took := x.took
						x = newBench(b, 1, rows, rows*5/2)
						x.seal(b, rows)
						x.addStream(b, rows)
						x.took = took
						runtime.GC() // of the pipelines before: not in what is measured
						if state == "adopted" {
							x.p.adoptAhead()
						}
					}
					x.seal(b, rows)
				}
				x.report(b, rows)
			})
		}
	}
}

// BenchmarkSealHash is what a hot seal is measured by: zeebo's hash alone over the bytes that BenchmarkSeal's hot state seals.
func BenchmarkSealHash(b *testing.B) {
	for _, rows := range []int{1024, 2048, 4096} {
		b.Run(fmt.Sprintf("path=zeebo/rows=%d", rows), func(b *testing.B) {
			x := newBench(b, 1, rows, rows*5/4)
			x.seal(b, rows)
			var set [benchSets][]byte
			for i := range set {
				x.count(b)
				x.sealTo(b, rows, func(q *pending) { set[i] = append(set[i], q.slice.Bytes()...) })
			}
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				_ = blake3.Sum256(set[i%benchSets])
				x.took = append(x.took, time.Since(start))
			}
			x.took = x.took[1+benchSets:]
			x.report(b, rows)
		})
	}
}

// BenchmarkSealMany seals many short slices together.
func BenchmarkSealMany(b *testing.B) {
	b.Run(fmt.Sprintf("path=%s/streams=3000/rows=100", cpufeat.Selected()), func(b *testing.B) { sealTable(b, 3000, 100) })
}

// BenchmarkSealTable shows how the cost of a row depends on the number of rows of the table: streams of 1000 rows, up to a million.
func BenchmarkSealTable(b *testing.B) {
	for _, streams := range []int{1, 3, 10, 30, 100, 300, 1000} {
		b.Run(fmt.Sprintf("path=%s/rows=%d", cpufeat.Selected(), streams*1000), func(b *testing.B) { sealTable(b, streams, 1000) })
	}
}

func sealTable(b *testing.B, streams, rows int) {
	n := streams * rows
	x := newBench(b, streams, rows, n*5/4)
	x.seal(b, n)
	x.count(b)
	x.seal(b, n)
	x.took = x.took[:0]
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		x.count(b)
		x.seal(b, n)
	}
	x.report(b, n)
}

// taken is a host, with New, that takes what is sealed.
func taken(*pending) {}
