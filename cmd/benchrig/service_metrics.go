package main

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// hostMetrics gathers what the runtime and the kernel say of this process, at most once a second: reading /proc and the runtime's
// figures takes as long as all of the accounting's own metrics together.
type hostMetrics struct {
	reg *prometheus.Registry

	mu   sync.Mutex
	at   time.Time
	last []*dto.MetricFamily
	err  error
}

func newHostMetrics() *hostMetrics {
	h := &hostMetrics{reg: prometheus.NewRegistry()}
	h.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return h
}

// Gather implements prometheus.Gatherer.
func (h *hostMetrics) Gather() ([]*dto.MetricFamily, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) >= time.Second {
		h.last, h.err = h.reg.Gather()
		h.at = time.Now()
	}
	return h.last, h.err
}
