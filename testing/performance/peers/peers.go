package peers

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/puzpuzpuz/xsync/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/ron-accounting/ron-accounting"
)

// Counting is one way of counting, filled with its keys. Loop adds 1 to each key of the sequence and may be called by several goroutines at
// once. Total is what was counted, to show that nothing was lost. Close, if not nil, ends what it started.
type Counting struct {
	Loop  func(seq []uint32)
	Total func() uint64
	Close func() error
}

// Maker makes one way of counting. Heavy ones need more than a kilobyte a key.
type Maker struct {
	Name  string
	Heavy bool
	New   func(keys []accounting.Key) (Counting, error)
}

// Makers lists all of them; the first two are ours, the third is the base of DESIGN's ratios.
func Makers() []Maker {
	return []Maker{
		{Name: Ours, New: oursRecord},
		{Name: OursHandle, New: oursHandle},
		{Name: Base, New: shardedMap},
		{Name: "sync.Map", New: syncMap},
		{Name: "xsync.Map", New: xsyncMap},
		{Name: "VictoriaMetrics GetOrCreate", New: victoria},
		{Name: "Prometheus WithLabelValues", Heavy: true, New: promLabels},
		{Name: "Prometheus cached", Heavy: true, New: promCached},
		{Name: "OpenTelemetry Add", Heavy: true, New: otelAdd},
		{Name: "(harness alone)", New: nothing},
	}
}

// Names that reports refer to.
const (
	Ours       = "ours Record"
	OursHandle = "ours Counter.Add"
	Base       = "[64]{Mutex; map}"
)

func shardedMap(keys []accounting.Key) (Counting, error) {
	type shard struct {
		sync.Mutex
		m map[accounting.Key]uint64
		_ [64]byte // the next lock is on another line
	}
	s := new([64]shard)
	for i := range s {
		s[i].m = make(map[accounting.Key]uint64, len(keys)/64+1)
	}
	of := func(k *accounting.Key) *shard { // ids are random: some of their bits are hash enough, the cheapest choice for this peer
		return &s[binary.LittleEndian.Uint64(k.Subject[8:])&63]
	}
	for i := range keys {
		of(&keys[i]).m[keys[i]] = 0
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			k := keys[i]
			h := of(&k)
			h.Lock()
			h.m[k]++
			h.Unlock()
		}
	}, Total: func() (n uint64) {
		for i := range s {
			for _, v := range s[i].m {
				n += v
			}
		}
		return n
	}}, nil
}

func syncMap(keys []accounting.Key) (Counting, error) {
	var m sync.Map
	for i := range keys {
		m.Store(keys[i], new(atomic.Uint64))
	}
	boxed := make([]any, len(keys)) // an interface made in the loop would allocate; a caller who cares caches it, too
	for i := range keys {
		boxed[i] = keys[i]
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			if v, ok := m.Load(boxed[i]); ok {
				v.(*atomic.Uint64).Add(1)
			}
		}
	}, Total: func() (n uint64) {
		m.Range(func(_, v any) bool { n += v.(*atomic.Uint64).Load(); return true })
		return n
	}}, nil
}

func xsyncMap(keys []accounting.Key) (Counting, error) {
	m := xsync.NewMap[accounting.Key, *atomic.Uint64](xsync.WithPresize(len(keys)))
	for i := range keys {
		m.Store(keys[i], new(atomic.Uint64))
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			if v, ok := m.Load(keys[i]); ok {
				v.Add(1)
			}
		}
	}, Total: func() (n uint64) {
		m.Range(func(_ accounting.Key, v *atomic.Uint64) bool { n += v.Load(); return true })
		return n
	}}, nil
}

// labels are a key's four label values, made once: a caller who has strings already is the best case for the label-based peers.
func labels(keys []accounting.Key) [][4]string {
	out := make([][4]string, len(keys))
	for i, k := range keys {
		out[i] = [4]string{k.Tenant.String(), k.Subject.String(), fmt.Sprint(k.Namespace), [...]string{"bytes", "requests", "cpu"}[k.Dimension%3]}
	}
	return out
}

func victoria(keys []accounting.Key) (Counting, error) {
	set := vm.NewSet()
	names := make([]string, len(keys))
	for i, l := range labels(keys) {
		names[i] = fmt.Sprintf(`usage_total{tenant=%q,subject=%q,ns=%q,dimension=%q}`, l[0], l[1], l[2], l[3])
		set.GetOrCreateCounter(names[i])
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			set.GetOrCreateCounter(names[i]).Inc()
		}
	}, Total: func() (n uint64) {
		for _, name := range names {
			n += set.GetOrCreateCounter(name).Get()
		}
		return n
	}}, nil
}

func promVec(keys []accounting.Key) (*prometheus.CounterVec, [][4]string, []prometheus.Counter) {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "usage_total"}, []string{"tenant", "subject", "ns", "dimension"})
	ls, cs := labels(keys), make([]prometheus.Counter, len(keys))
	for i, l := range ls {
		cs[i] = v.WithLabelValues(l[0], l[1], l[2], l[3])
	}
	return v, ls, cs
}

func promTotal(cs []prometheus.Counter) func() uint64 {
	return func() (n uint64) {
		for _, c := range cs {
			var m dto.Metric
			if c.Write(&m) == nil {
				n += uint64(m.GetCounter().GetValue())
			}
		}
		return n
	}
}

func promLabels(keys []accounting.Key) (Counting, error) {
	v, ls, cs := promVec(keys)
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			l := &ls[i]
			v.WithLabelValues(l[0], l[1], l[2], l[3]).Add(1)
		}
	}, Total: promTotal(cs)}, nil
}

func promCached(keys []accounting.Key) (Counting, error) {
	_, _, cs := promVec(keys)
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			cs[i].Add(1)
		}
	}, Total: promTotal(cs)}, nil
}

// otelAdd lifts OpenTelemetry's default limit of 2,000 label sets, beyond which it would fold usage into one overflow series.
func otelAdd(keys []accounting.Key) (Counting, error) {
	reader := sdk.NewManualReader()
	mp := sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithCardinalityLimit(0))
	c, err := mp.Meter("peers").Int64Counter("usage")
	if err != nil {
		return Counting{}, err
	}
	opts := make([][]metric.AddOption, len(keys))
	for i, l := range labels(keys) {
		opts[i] = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attribute.String("tenant", l[0]), attribute.String("subject", l[1]),
			attribute.String("ns", l[2]), attribute.String("dimension", l[3])))}
	}
	ctx := context.Background()
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			c.Add(ctx, 1, opts[i]...)
		}
	}, Total: func() (n uint64) {
		var rm metricdata.ResourceMetrics
		if reader.Collect(ctx, &rm) != nil {
			return 0
		}
		for _, s := range rm.ScopeMetrics {
			for _, m := range s.Metrics {
				if d, ok := m.Data.(metricdata.Sum[int64]); ok {
					for _, p := range d.DataPoints {
						n += uint64(p.Value)
					}
				}
			}
		}
		return n
	}, Close: func() error { return mp.Shutdown(ctx) }}, nil
}

// nothing loads the key and adds to one place: what the loop itself costs, contained in every other figure.
func nothing(keys []accounting.Key) (Counting, error) {
	var mu sync.Mutex
	var total uint64
	return Counting{Loop: func(seq []uint32) {
		var n, sum uint64
		for _, i := range seq {
			sum += binary.LittleEndian.Uint64(keys[i].Subject[:])
			n++
		}
		mu.Lock()
		total += n
		if sum == 1 { // never, but the compiler does not know
			total--
		}
		mu.Unlock()
	}, Total: func() uint64 { mu.Lock(); defer mu.Unlock(); return total }}, nil
}
