package rig

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/load"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/proc"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// meter takes a reading a second and keeps the sums. One goroutine.
type meter struct {
	s        *session
	started  time.Duration // CPU at the start
	ended    time.Duration // CPU at the last reading
	last     reading
	second   *load.Sample // reused
	total    *load.Sample
	perSlice *hdrhistogram.Histogram // nanoseconds of CPU time of sealing a slice
	memory   []proc.Memory
	series   series
	walPeak  float64

	warm      bool          // of a cold start: all keys of the first burst have been sealed
	newTook   time.Duration // sealing them, until then
	newSlices int64
}

// reading is what is subtracted to get one second's figures.
type reading struct {
	at     time.Duration
	cpu    time.Duration
	rows   uint64  // recorded
	seal   float64 // seconds
	slices float64
	wall   histogram // of whole seals
}

func newMeter(s *session) *meter {
	m := &meter{s: s, second: load.NewSample(), total: load.NewSample(), perSlice: hdrhistogram.New(1, int64(time.Hour), 2)}
	m.started = proc.CPU()
	m.last.cpu = m.started
	if metrics, err := gather(s.registry); err == nil {
		m.last.seal, m.last.slices = sealCost(metrics) // what came before the load is not its
		m.last.wall = metrics.hist["accounting_seal_seconds"]
	}
	return m
}

func (m *meter) cpu() time.Duration { return m.ended - m.started }

// tick takes a reading; full says that a whole second has passed, so that its rates mean something.
func (m *meter) tick(l *load.Load, full bool) {
	m.second.Reset()
	l.Take(m.second)
	m.total.Merge(m.second)
	now := reading{at: l.Elapsed(), cpu: proc.CPU(), rows: m.total.Rows}
	m.ended = now.cpu
	limitHeap()
	mem := proc.ReadMemory()
	m.memory = append(m.memory, mem)
	metrics, err := gather(m.s.registry)
	if err != nil {
		return
	}
	m.sealed(&now, metrics)
	if now.wall = metrics.hist["accounting_seal_seconds"]; now.wall.count > m.last.wall.count {
		mean := (now.wall.sum - m.last.wall.sum) / float64(now.wall.count-m.last.wall.count) // one seal a window, as a rule
		m.s.stage(stage.Seal)(time.Duration(mean * 1e9))
	}
	wal := metrics.value["accounting_wal_size_bytes"]
	m.walPeak = max(m.walPeak, wal)
	span := (now.at - m.last.at).Seconds()
	p := result.Point{
		T: now.at.Seconds(), LagP99US: float64(m.second.Lag.ValueAtQuantile(99)) / 1e3,
		ExportMS: m.s.exports.recentP99(), Pending: metrics.value["accounting_pending_slices"], Backlog: metrics.value["accounting_export_backlog"],
		RSSMiB: proc.MiB(mem.Charged()), WALMiB: wal / (1 << 20), Ready: m.s.ready.ready(),
	}
	if span > 0 {
		p.Rate = float64(m.second.Rows) / span
		p.CPU = 100 * (now.cpu - m.last.cpu).Seconds() / span
	}
	latency := result.Of(m.second.Batch, batch)
	p.RecordNS = latency.Mean
	m.last = now
	if !full && len(m.series.points) > 0 {
		return
	}
	m.series.add(p)
	m.s.hooks.Tick(View{
		Point: p, Workload: m.s.set.Spec.Name, Length: m.s.set.Duration, Rows: m.total.Rows,
		Record: latency, Lag: result.Of(m.second.Lag, 1e3),
	})
}

// batch is how many calls are timed together.
const batch = 64

func sealCost(metrics scrape) (seconds, slices float64) {
	return metrics.value["accounting_seal_cpu_seconds_total"], metrics.value["accounting_sealed_slices_total"]
}

// sealed enters what sealing a slice cost since the last reading with one: taking new rows into the orders is part of that, and is done before.
func (m *meter) sealed(now *reading, metrics scrape) {
	seal, slices := sealCost(metrics)
	now.seal, now.slices = m.last.seal, slices
	if n := int64(now.slices - m.last.slices); n > 0 {
		now.seal = seal
		took := time.Duration((now.seal - m.last.seal) * 1e9)
		if m.s.set.Cold && !m.warm { // its keys are new: they are read and sorted for the first time
			m.warm = m.last.rows >= min(m.s.set.Spec.BurstRows(), uint64(m.s.set.Spec.Total()))*9/10 // else the boundary has parted the burst: the next window's are new too
			m.newTook, m.newSlices = m.newTook+took, m.newSlices+n
			m.s.res.Seal.First = result.Round(float64(m.newTook) / float64(m.newSlices) / 1e3)
			return
		}
		_ = m.perSlice.RecordValues(max(1, int64(took)/n), n)
	}
}

// collect enters the run's figures once the recorder is closed.
func (s *session) collect(l *load.Load) {
	r, m := s.res, s.meter
	r.Record.Count, r.Series = m.total.Rows, m.series.points
	r.Record.Latency, r.Record.Lag = result.Of(m.total.Batch, batch), result.Of(m.total.Lag, 1e3)
	r.Record.Rejected = l.Rejected()
	r.Export.Latency = result.Of(s.exports.close(), 1e6)
	if n := s.exports.events.Dropped(); n > 0 {
		s.note("%d seals and acks were not heard of in time: the latencies of their slices are not in the figures", n)
	}
	if metrics, err := gather(s.registry); err == nil {
		var last reading
		m.sealed(&last, metrics)
		s.totals(metrics)
	}
	r.Seal.PerSlice = result.Of(m.perSlice, 1e3)
	if s.fs != nil {
		r.WAL.Enabled, r.WAL.Fsyncs, r.WAL.Peak = true, uint64(s.fs.hist.TotalCount()), uint64(m.walPeak)
		r.WAL.Fsync = result.Of(s.fs.hist, 1e6)
	}
	if len(m.memory) == 0 {
		return
	}
	half := m.memory[len(m.memory)/2:]
	charged := make([]uint64, len(half))
	for i, mem := range half {
		charged[i] = mem.Charged()
	}
	slices.Sort(charged)
	end := m.memory[len(m.memory)-1]
	r.RSS = result.RSS{Steady: proc.MiB(charged[len(charged)/2]), Peak: proc.MiB(end.Peak), Anon: proc.MiB(end.Anon)}
}

// totals enters the counters.
func (s *session) totals(metrics scrape) {
	count := func(name string) uint64 { return uint64(metrics.value[name]) }
	r := s.res
	r.Seal.Slices, r.Seal.Coalesced = count("accounting_sealed_slices_total"), count("accounting_coalesced_total")
	r.Export.OK, r.Export.Dup = count("accounting_exports_total{ok}"), count("accounting_exports_total{dup}")
	r.Export.Fail = count("accounting_exports_total{fail}")
	for _, class := range []string{"network", "remote_5xx", "timeout"} {
		if n := count("accounting_exports_total{retry_" + class + "}"); n > 0 {
			r.Export.Retries[class] = n
		}
	}
	r.WAL.Corrupt = count("accounting_wal_corrupt_total")
	if h := metrics.hist["ordering_wait_seconds"]; h.count > 0 {
		r.OrderingWait = result.Quantiles{
			Mean: h.mean() * 1e3, P50: h.quantile(.5) * 1e3, P95: h.quantile(.95) * 1e3, P99: h.quantile(.99) * 1e3, P999: h.quantile(.999) * 1e3, Max: h.quantile(1) * 1e3,
		}
	}
}
