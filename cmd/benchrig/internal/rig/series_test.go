package rig

import (
	"math"
	"testing"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
)

// However long a run is, its series is bounded, reaches to its end and keeps the worst second and the mean rate.
func TestSeriesIsBounded(t *testing.T) {
	for _, n := range []int{1, 599, 600, 601, 1800, 5001, 100_000} {
		var s series
		for i := 1; i <= n; i++ {
			p := result.Point{T: float64(i), Rate: 10, RecordNS: 7, Ready: i != n/2}
			if i == n/3 {
				p.ExportMS, p.Rate, p.RecordNS = 99, 0, 0
			}
			s.add(p)
		}
		worst, ready, rows := 0.0, true, 0.0
		for i, p := range s.points {
			worst, ready = max(worst, p.ExportMS), ready && p.Ready
			from := 0.0
			if i > 0 {
				from = s.points[i-1].T
			}
			rows += p.Rate * (p.T - from)
			if p.Rate > 0 && p.RecordNS != 7 {
				t.Errorf("%d seconds: a call took %v, want 7", n, p.RecordNS)
			}
		}
		if len(s.points) > maxPoints || len(s.points) < min(n, maxPoints/2) || s.points[len(s.points)-1].T != float64(n) {
			t.Errorf("%d seconds: %d points to %v", n, len(s.points), s.points[len(s.points)-1].T)
		}
		if n > 2 && (worst != 99 || ready || math.Abs(rows-float64(10*(n-1))) > 1e-3) {
			t.Errorf("%d seconds: worst %v, ready %v, %v rows", n, worst, ready, rows)
		}
	}
}
