package accounting_test

import (
	"context"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	accounting "github.com/ron-accounting/ron-accounting"
)

// TestEveryMetricIsThereFromTheStart: a series that is born with its first event can't be alerted on. Units follow each SealNow where
// nothing runs in the background.
func TestEveryMetricIsThereFromTheStart(t *testing.T) {
	r := newRecorder(t, accounting.Options{})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(r.Collector())
	want := []string{
		"accounting_exports_total", "accounting_degraded", "accounting_record_latency_seconds", "accounting_pending_slices", "accounting_export_backlog",
		"accounting_overflow_total", "accounting_wal_size_bytes", "accounting_wal_entries", "accounting_wal_corrupt_total", "accounting_wal_fsync_seconds",
		"accounting_wal_replay_seconds", "export_latency_seconds", "ordering_wait_seconds", "backoff_retries_total", "queue_depth", "queue_dropped_total",
		"rejected_total", "dup_detected_total", "rollover_events_total", "rollover_skew_seconds", "readyz_missing_total", "config_reload_fail_total",
		"auth_failures_total", "accounting_units", "accounting_imbalance_units",
	}
	families := gather(t, reg)
	for _, name := range want {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if err := r.Record(key(1, 1, accounting.Bytes), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SealNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range gather(t, reg)["accounting_units"].Metric {
		labels := m.Label
		slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return len(a.GetName()) - len(b.GetName()) })
		if labels[1].GetValue() == "bytes" {
			got[labels[0].GetValue()] = m.Gauge.GetValue()
		}
	}
	if got["recorded"] != 7 || got["acked"] != 7 || got["open"] != 0 || len(got) != 7 {
		t.Errorf("units after a seal: %v", got)
	}
}

func gather(t *testing.T, g prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range all {
		out[f.GetName()] = f
	}
	return out
}
