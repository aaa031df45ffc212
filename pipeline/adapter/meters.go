package adapter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// meters are the adapter's own instruments, beside those that it shares with the recorder (pipeline.Metrics). The routes and codes are
// fixed, so that every series exists from the start and counting takes no lookup of labels.
type meters struct {
	requests *prometheus.CounterVec // route, code
	seconds  *prometheus.HistogramVec
	gauges   []prometheus.Collector
	counts   map[[2]string]prometheus.Counter
	times    map[string]prometheus.Observer
}

var routes = []string{"/export", "/record", "/readyz", "/healthz", "/livez", "other"}

func (m *meters) init(a *Adapter) {
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "accounting_adapter_requests_total", Help: "Requests by what they were answered: ok, dup, or the problem's code."}, []string{"route", "code"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "accounting_adapter_request_seconds", Help: "From a request's header to its answer.", Buckets: prometheus.ExponentialBuckets(100e-6, 2, 16)}, []string{"route"})
	gauge := func(name, help string, f func() float64) {
		m.gauges = append(m.gauges, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("accounting_adapter_inflight_bytes", "Bodies being received or judged.", func() float64 { b, _ := a.inflight.now(); return float64(b) })
	gauge("accounting_adapter_staged_bytes", "Slices accepted and not yet acked by the sink.", func() float64 { return float64(a.o.Queue.Stats().Bytes) })
	gauge("accounting_adapter_halted_streams", "Foreign streams whose next slice the sink refuses for good.", func() float64 { return float64(a.o.Queue.Stats().Halted) })
	gauge("accounting_adapter_set_aside", "Files of accepted slices that could not be exported, and of damage to the staging log.", func() float64 { return float64(a.o.Queue.Stats().Aside) })
	gauge("accounting_adapter_idempotency_keys", "Keys remembered.", func() float64 { return float64(a.o.Queue.Stats().Keys) })
	m.counts, m.times = map[[2]string]prometheus.Counter{}, map[string]prometheus.Observer{}
	for _, r := range routes {
		m.times[r] = m.seconds.WithLabelValues(r)
		for _, c := range codes(r) {
			m.counts[[2]string{r, c}] = m.requests.WithLabelValues(r, c)
		}
	}
}

func codes(route string) []string {
	switch route {
	case "/export", "/record":
		out := []string{"ok", "dup"}
		for _, c := range []problem.Code{problem.Schema, problem.Unauth, problem.Forbidden, problem.Method, problem.Gap, problem.Conflict, problem.Oversize,
			problem.Type, problem.OrderOverflow, problem.Busy, problem.Internal, problem.NotReady} {
			out = append(out, string(c))
		}
		return out
	case "other":
		return []string{string(problem.NotFound)}
	}
	return []string{"ok", string(problem.Method), string(problem.NotReady)}
}

func (m *meters) done(route, code string, start time.Time) {
	if c := m.counts[[2]string{route, code}]; c != nil {
		c.Inc()
	}
	m.times[route].Observe(time.Since(start).Seconds())
}

// Collector returns the adapter's own metrics; those that it shares with the recorder are the recorder's.
func (a *Adapter) Collector() prometheus.Collector { return &a.meters }

// Describe implements prometheus.Collector.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	m.requests.Describe(ch)
	m.seconds.Describe(ch)
	for _, g := range m.gauges {
		g.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	m.requests.Collect(ch)
	m.seconds.Collect(ch)
	for _, g := range m.gauges {
		g.Collect(ch)
	}
}
