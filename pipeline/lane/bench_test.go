package lane_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// mock acks everything, every other seq as a duplicate, after a while.
type mock struct{ latency time.Duration }

func (m mock) Put(_ context.Context, s canon.SealedSlice) (export.Ack, error) {
	if m.latency > 0 {
		time.Sleep(m.latency)
	}
	return export.AckOK + export.Ack(s.Head().Seq%2), nil
}

// mocks is mock for batches.
type mocks struct{ mock }

func (m mocks) PutBatch(_ context.Context, b []canon.SealedSlice) []export.Result {
	if m.latency > 0 {
		time.Sleep(m.latency)
	}
	out := make([]export.Result, len(b))
	for i := range out {
		out[i].Ack = export.AckOK + export.Ack(b[i].Head().Seq%2)
	}
	return out
}

// feeder hands slices to a router and waits for their acks. Items and bodies are used again.
type feeder struct {
	r      *lane.Router
	lanes  []*lane.Lane
	names  []export.Stream
	items  []lane.Item
	batch  []*lane.Item
	bodies []canon.SealedSlice
	seq    uint64
	left   atomic.Int64
	done   chan struct{}
}

func newFeeder(tb testing.TB, streams, each int, e export.Exporter, f lane.Fairness) *feeder {
	n := streams * each
	d := &feeder{items: make([]lane.Item, n), batch: make([]*lane.Item, n), bodies: make([]canon.SealedSlice, n), done: make(chan struct{}, 1)}
	var err error
	d.r, err = lane.New(lane.Config{Sink: export.Sink{Name: "mock", Exporter: e}, Tuning: lane.Tuning{Fairness: f}, Hooks: lane.Hooks{
		Acked: func(_ time.Time, items []*lane.Item, _ []export.Ack) {
			if d.left.Add(-int64(len(items))) == 0 {
				d.done <- struct{}{}
			}
		},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.r.Close(context.Background()) })
	for i := range streams {
		s := exporttest.Stream("bench", i)
		d.names, d.lanes = append(d.names, s), append(d.lanes, d.r.Lane(s))
	}
	return d
}

// load makes the next slices of every stream.
func (d *feeder) load(tb testing.TB) {
	each := len(d.items) / len(d.lanes)
	var prev canon.Digest
	var buf []byte
	row := canon.Row{Subject: canon.IDFromUint64(1), Inc: 1}
	for k := range each {
		for i, l := range d.lanes {
			at := k*len(d.lanes) + i
			h := canon.Head{V: 1, Seq: d.seq, Tenant: d.names[i].Tenant, Writer: d.names[i].Writer, Dimension: d.names[i].Dimension, WindowEndS: 1}
			if h.Seq > 0 {
				h.Prev = &prev
			}
			start := len(buf)
			if buf = canon.AppendRow(canon.AppendHead(buf, &h, 1), &row); len(buf) > cap(buf)-1024 {
				buf, start = append(make([]byte, 0, min(1<<20, 4096*(len(d.items)-at)+2048)), buf[start:]...), 0
			}
			s, err := canon.ViewSummed(buf[start:len(buf):len(buf)], prev)
			if err != nil {
				tb.Fatal(err)
			}
			d.bodies[at] = s
			d.items[at] = lane.Item{Lane: l, Seq: d.seq, Slice: &d.bodies[at]}
			d.batch[at] = &d.items[at]
		}
		d.seq++
	}
}

// pass hands all of them in and waits until they are acked.
func (d *feeder) pass(tb testing.TB) {
	d.left.Store(int64(len(d.batch)))
	if _, err := d.r.Enqueue(d.batch...); err != nil {
		tb.Fatal(err)
	}
	<-d.done
}

// BenchmarkRouter is the cost of a slice's way through the router, from enqueue to ack, with a sink that costs nothing.
func BenchmarkRouter(b *testing.B) {
	for _, streams := range []int{1, 1000, 100_000} {
		for _, sink := range []string{"batch", "single"} {
			for _, f := range []lane.Fairness{lane.RoundRobin, lane.WFQ} {
				b.Run(fmt.Sprintf("streams=%d/sink=%s/fairness=%v", streams, sink, f), func(b *testing.B) {
					var e export.Exporter = mocks{}
					if sink == "single" {
						e = mock{}
					}
					each := max(1, 1000/streams)
					d := newFeeder(b, streams, each, e, f)
					b.ReportAllocs()
					b.ResetTimer()
					n := 0
					for ; n < b.N; n += streams * each {
						b.StopTimer()
						d.load(b)
						b.StartTimer()
						d.pass(b)
					}
					b.StopTimer()
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/slice")
				})
			}
		}
	}
}

// BenchmarkIdempotentPut is one slice's way, enqueue to ack, to a mock that answers ok and duplicate in turn after a set latency.
func BenchmarkIdempotentPut(b *testing.B) {
	for _, latency := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond} {
		b.Run("latency="+latency.String(), func(b *testing.B) {
			d := newFeeder(b, 1, 1, mock{latency}, lane.RoundRobin)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				d.load(b)
				d.pass(b)
			}
		})
	}
}

// 100,000 streams × 1 slice a second (with BENCHRIG_LONG=1; fewer else): no goroutine, timer or allocation a lane, and the routing itself takes a small part of the second.
func TestHundredThousandStreams(t *testing.T) {
	streams, rounds := 20_000, 2
	if os.Getenv("BENCHRIG_LONG") != "" {
		streams, rounds = 100_000, 60
	}
	before := runtime.NumGoroutine()
	d := newFeeder(t, streams, 1, mocks{}, lane.RoundRobin)
	if n := runtime.NumGoroutine() - before; n > 2*runtime.GOMAXPROCS(0)+2 {
		t.Errorf("got %d goroutines", n)
	}
	var spent time.Duration
	for range rounds {
		d.load(t)
		start := time.Now()
		d.pass(t)
		spent += time.Since(start)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d slices: %v a round of %d, heap %d MiB (bodies and items of the test included)", rounds*streams, spent/time.Duration(rounds), streams, m.HeapAlloc>>20)
	if per := spent / time.Duration(rounds); rounds > 2 && per > time.Second { // measured where the machine is known to be quiet
		t.Errorf("a second's slices took %v", per)
	}
	runtime.KeepAlive(d)
}
