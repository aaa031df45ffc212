package rig

import (
	"math"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape is one reading of the recorder's metrics.
type scrape struct {
	value map[string]float64 // counters and gauges, by name or name{label value,…}
	hist  map[string]histogram
}

// histogram is a Prometheus histogram's state: cumulative counts at upper bounds.
type histogram struct {
	count  uint64
	sum    float64
	bounds []float64
	counts []uint64
}

func gather(g prometheus.Gatherer) (scrape, error) {
	s := scrape{value: map[string]float64{}, hist: map[string]histogram{}}
	families, err := g.Gather()
	if err != nil {
		return s, err
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if labels := m.GetLabel(); len(labels) > 0 {
				var values []string
				for _, l := range labels {
					values = append(values, l.GetValue())
				}
				name += "{" + strings.Join(values, ",") + "}"
			}
			if h := m.GetHistogram(); h != nil {
				out := histogram{count: h.GetSampleCount(), sum: h.GetSampleSum()}
				for _, b := range h.GetBucket() {
					out.bounds = append(out.bounds, b.GetUpperBound())
					out.counts = append(out.counts, b.GetCumulativeCount())
				}
				s.hist[name] = out
				continue
			}
			s.value[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return s, nil
}

// quantile interpolates within the bucket that holds q (0..1), as Prometheus does; beyond the last bound it is the last bound.
func (h histogram) quantile(q float64) float64 {
	if h.count == 0 {
		return 0
	}
	rank := q * float64(h.count)
	low, before := 0.0, 0.0
	for i, bound := range h.bounds {
		if n := float64(h.counts[i]); n >= rank && !math.IsInf(bound, 1) {
			if n == before {
				return bound
			}
			return low + (bound-low)*(rank-before)/(n-before)
		}
		low, before = bound, float64(h.counts[i])
	}
	return low
}

func (h histogram) mean() float64 {
	if h.count == 0 {
		return 0
	}
	return h.sum / float64(h.count)
}
