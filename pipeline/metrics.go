package pipeline

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the instruments of one recorder, and of the adapter before it: every name of the contract once. It is a
// prometheus.Collector; nothing is registered anywhere until the host does so. Safe for concurrent use.
type Metrics struct {
	Exports        *prometheus.CounterVec // status
	Degraded       prometheus.Gauge
	RecordLatency  prometheus.Histogram
	Pending        prometheus.Gauge
	Backlog        prometheus.Gauge
	Overflow       *prometheus.CounterVec // dimension
	WALBytes       prometheus.Gauge
	WALEntries     prometheus.Gauge
	WALCorrupt     prometheus.Counter
	WALFsync       prometheus.Histogram
	WALReplay      prometheus.Histogram
	ExportLatency  prometheus.Histogram
	OrderingWait   prometheus.Histogram
	Retries        *prometheus.CounterVec // op
	QueueDepth     *prometheus.GaugeVec   // queue
	QueueDropped   *prometheus.CounterVec // queue, reason
	Rejected       *prometheus.CounterVec // reason
	DupDetected    prometheus.Counter
	Rollovers      *prometheus.CounterVec // result
	RolloverSkew   prometheus.Histogram
	ReadyMissing   *prometheus.CounterVec // key
	ConfigFail     prometheus.Counter
	AuthFail       prometheus.Counter
	SealSeconds    prometheus.Histogram // not in the contract's list: the time of one seal
	SealCPU        prometheus.Counter
	SealedSlices   prometheus.Counter
	CoalescedTotal prometheus.Counter

	units     *prometheus.Desc
	atRisk    *prometheus.Desc // not in the contract's list
	imbalance *prometheus.Desc
	snapshot  atomic.Pointer[unitsSnapshot]
	beside    atomic.Pointer[func() bool]
	all       []prometheus.Collector
}

// unitsSnapshot is the last second's conservation figures.
type unitsSnapshot struct {
	names  []string
	units  []Units
	atRisk []u128
}

// Beside makes accounting_degraded 1 also while missing says so: for what stands beside the recorder and has readiness keys of its own. It
// is asked once a second.
func (m *Metrics) Beside(missing func() bool) { m.beside.Store(&missing) }

// expBuckets are the histograms' bounds: factor 2 from least, n of them.
func expBuckets(least float64, n int) []float64 { return prometheus.ExponentialBuckets(least, 2, n) }

// NewMetrics returns instruments at zero, for the dimensions named.
func NewMetrics(dimensions []string) *Metrics {
	m := &Metrics{
		units:     prometheus.NewDesc("accounting_units", "Units by where they are; recorded = open + pending + acked + gap + saturated.", []string{"state", "dimension"}, nil),
		imbalance: prometheus.NewDesc("accounting_imbalance_units", "recorded - (open + pending + acked + gap + saturated), computed in integers; anything but 0 is an alarm.", []string{"dimension"}, nil),
	}
	m.atRisk = prometheus.NewDesc("accounting_at_risk_units", "Open units that a power cut would lose: those not in the last checkpoint of the counters; all of them without one.", []string{"dimension"}, nil)
	counter := func(p *prometheus.Counter, name, help string) {
		*p = prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.all = append(m.all, *p)
	}
	counterVec := func(p **prometheus.CounterVec, name, help string, labels ...string) {
		*p = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.all = append(m.all, *p)
	}
	gauge := func(p *prometheus.Gauge, name, help string) {
		*p = prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.all = append(m.all, *p)
	}
	histogram := func(p *prometheus.Histogram, name, help string, buckets []float64) {
		*p = prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		m.all = append(m.all, *p)
	}
	counterVec(&m.Exports, "accounting_exports_total", "Export outcomes, a slice and sink each.", "status")
	gauge(&m.Degraded, "accounting_degraded", "1 while a readiness key is missing.")
	histogram(&m.RecordLatency, "accounting_record_latency_seconds", "Record on an existing key, sampled: the mean of a batch of calls timed once a second.", expBuckets(1e-9, 20))
	gauge(&m.Pending, "accounting_pending_slices", "Slices sealed and not yet acked by every required sink.")
	gauge(&m.Backlog, "accounting_export_backlog", "Slices waiting in lanes, all sinks together.")
	counterVec(&m.Overflow, "accounting_overflow_total", "Units above 2^64-1 in one row and slice, not sealed.", "dimension")
	gauge(&m.WALBytes, "accounting_wal_size_bytes", "Bytes of the WAL's segments.")
	gauge(&m.WALEntries, "accounting_wal_entries", "Slices in the WAL that are not acked.")
	counter(&m.WALCorrupt, "accounting_wal_corrupt_total", "Damaged frames found in the WAL, or holes, and commits that it has lost.")
	histogram(&m.WALFsync, "accounting_wal_fsync_seconds", "One fsync of the WAL.", expBuckets(50e-6, 18))
	histogram(&m.WALReplay, "accounting_wal_replay_seconds", "Reading the WAL at start.", expBuckets(1e-3, 16))
	histogram(&m.ExportLatency, "export_latency_seconds", "From enqueue to ack, a slice.", expBuckets(100e-6, 20))
	histogram(&m.OrderingWait, "ordering_wait_seconds", "Time a slice was held for the one before it.", expBuckets(10e-6, 20))
	counterVec(&m.Retries, "backoff_retries_total", "Operations tried again.", "op")
	m.QueueDepth = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "queue_depth", Help: "Entries of a queue."}, []string{"queue"})
	m.all = append(m.all, m.QueueDepth)
	counterVec(&m.QueueDropped, "queue_dropped_total", "Entries dropped by a queue.", "queue", "reason")
	counterVec(&m.Rejected, "rejected_total", "Requests refused.", "reason")
	counter(&m.DupDetected, "dup_detected_total", "Slices that a sink held already.")
	counterVec(&m.Rollovers, "rollover_events_total", "Window boundaries by what came of them.", "result")
	histogram(&m.RolloverSkew, "rollover_skew_seconds", "How long after its boundary a window was sealed.", expBuckets(100e-6, 18))
	counterVec(&m.ReadyMissing, "readyz_missing_total", "Times that a readiness key went missing.", "key")
	counter(&m.ConfigFail, "config_reload_fail_total", "Configuration reloads refused.")
	counter(&m.AuthFail, "auth_failures_total", "Requests without valid credentials.")
	counter(&m.SealCPU, "accounting_seal_cpu_seconds_total", "CPU time of sealing, where the system tells a thread's; else the time by the clock.")
	histogram(&m.SealSeconds, "accounting_seal_seconds", "One seal of all streams: scan, encode, hash, WAL commit.", expBuckets(10e-6, 20))
	counter(&m.SealedSlices, "accounting_sealed_slices_total", "Slices sealed.")
	counter(&m.CoalescedTotal, "accounting_coalesced_total", "Times that a stream was left to a later window for want of room.")

	m.preset(dimensions)
	return m
}

// preset makes every series of a fixed label set exist from the start, at 0: a rate over a series that is born with its first event misses it.
func (m *Metrics) preset(dimensions []string) {
	for _, s := range []string{"ok", "dup", "retry_network", "retry_remote_5xx", "retry_timeout", "fail"} {
		m.Exports.WithLabelValues(s)
	}
	for _, d := range dimensions {
		m.Overflow.WithLabelValues(d)
	}
	for _, op := range []string{"put", "handshake"} {
		m.Retries.WithLabelValues(op)
	}
	for _, q := range []string{"pending_slices", "lane", "ingress"} {
		m.QueueDepth.WithLabelValues(q)
	}
	for _, r := range []string{"capacity", "streams", "order_overflow", "wal_full", "unauth", "decompress_cap", "ratio_cap", "oversize", "busy"} {
		m.Rejected.WithLabelValues(r)
	}
	for _, d := range [][2]string{{"lane", "shed"}, {"lane", "optional_behind"}, {"events", "oldest"}} {
		m.QueueDropped.WithLabelValues(d[0], d[1])
	}
	for _, r := range []string{"ok", "skipped_dup", "held", "error"} {
		m.Rollovers.WithLabelValues(r)
	}
	for _, k := range readyKeys {
		m.ReadyMissing.WithLabelValues(string(k))
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
	ch <- m.units
	ch <- m.imbalance
	ch <- m.atRisk
}

// Collect implements prometheus.Collector. The conservation figures are those of the last second, not of the scrape.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
	s := m.snapshot.Load()
	if s == nil {
		return
	}
	for i, name := range s.names {
		for j, state := range unitStates {
			ch <- prometheus.MustNewConstMetric(m.units, prometheus.GaugeValue, float(s.units[i].exact[j]), state, name)
		}
		ch <- prometheus.MustNewConstMetric(m.atRisk, prometheus.GaugeValue, float(s.atRisk[i]), name)
		imbalance, _ := s.units[i].Imbalance().Float64()
		ch <- prometheus.MustNewConstMetric(m.imbalance, prometheus.GaugeValue, imbalance, name)
	}
}
