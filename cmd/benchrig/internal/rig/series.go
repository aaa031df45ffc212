package rig

import "github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"

// maxPoints bounds a run's series. A longer run has a point each 2, 4, 8, … seconds.
const maxPoints = 600

// series collects a point a second and keeps at most maxPoints: means of rates and costs, the worst of latencies and depths.
type series struct {
	points []result.Point
	span   int // seconds that a point stands for
	filled int // seconds in the last point
}

func (s *series) add(p result.Point) {
	if s.filled > 0 && s.filled < s.span {
		last := &s.points[len(s.points)-1]
		*last = joined(*last, s.filled, p, 1)
		s.filled++
		return
	}
	if len(s.points) == maxPoints {
		for i := range maxPoints / 2 {
			s.points[i] = joined(s.points[2*i], 1, s.points[2*i+1], 1)
		}
		s.points, s.span = s.points[:maxPoints/2], max(1, s.span)*2
	}
	s.points, s.filled = append(s.points, p), 1
	s.span = max(1, s.span)
}

// joined is one point for two that follow each other, of na and nb parts.
func joined(a result.Point, na int, b result.Point, nb int) result.Point {
	mean := func(x, y float64) float64 { return (x*float64(na) + y*float64(nb)) / float64(na+nb) }
	out := result.Point{
		T: b.T, Rate: mean(a.Rate, b.Rate), CPU: mean(a.CPU, b.CPU),
		LagP99US: max(a.LagP99US, b.LagP99US), ExportMS: max(a.ExportMS, b.ExportMS),
		Pending: max(a.Pending, b.Pending), Backlog: max(a.Backlog, b.Backlog),
		RSSMiB: max(a.RSSMiB, b.RSSMiB), WALMiB: max(a.WALMiB, b.WALMiB), Ready: a.Ready && b.Ready,
	}
	if rows := a.Rate*float64(na) + b.Rate*float64(nb); rows > 0 { // of a call, whichever point it was in
		out.RecordNS = (a.RecordNS*a.Rate*float64(na) + b.RecordNS*b.Rate*float64(nb)) / rows
	}
	return out
}
