package main

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

// BenchmarkMetrics is a scrape without the network.
func BenchmarkMetrics(b *testing.B) {
	q, err := ingress.Open(ingress.Options{Sink: memorySinkForTests()})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close(b.Context())
	a, err := adapter.New(adapter.Options{Queue: q, Insecure: true})
	if err != nil {
		b.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(pipeline.NewMetrics([]string{"bytes", "requests", "cpu"}), a.Collector())
	h := promhttp.HandlerFor(prometheus.Gatherers{reg, newHostMetrics()}, promhttp.HandlerOpts{DisableCompression: true})
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	}
}
