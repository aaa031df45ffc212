package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
)

// chart is a small multiple: one figure over the run's seconds.
type chart struct {
	Title, Unit string
	SVG         template.HTML
	Last, Peak  string
}

// A chart's drawing in its own units; the page scales it.
const (
	width, height = 320, 110
	left, bottom  = 38, 16
	top           = 6
)

func charts(r *result.Result) []chart {
	pick := func(title, unit string, f func(result.Point) float64) chart {
		values := make([]float64, len(r.Series))
		for i, p := range r.Series {
			values[i] = f(p)
		}
		return line(title, unit, r.Series, values)
	}
	out := []chart{
		pick("Rows recorded", "rows/s", func(p result.Point) float64 { return p.Rate }),
		pick("A Record call, mean", "ns", func(p result.Point) float64 { return p.RecordNS }),
		pick("Started late, p99", "µs", func(p result.Point) float64 { return p.LagP99US }),
		pick("Commit to ack, p99", "ms", func(p result.Point) float64 { return p.ExportMS }),
		pick("Slices pending", "", func(p result.Point) float64 { return p.Pending }),
		pick("Slices in lanes", "", func(p result.Point) float64 { return p.Backlog }),
		pick("Memory", "MiB", func(p result.Point) float64 { return p.RSSMiB }),
		pick("CPU, with the generator", "% of a core", func(p result.Point) float64 { return p.CPU }),
	}
	if r.WAL.Enabled {
		out = append(out, pick("WAL on disk", "MiB", func(p result.Point) float64 { return p.WALMiB }))
	}
	return out
}

// line draws values over the points' times, from zero, with the seconds without readiness shaded.
func line(title, unit string, points []result.Point, values []float64) chart {
	c := chart{Title: title, Unit: unit}
	if len(points) == 0 {
		return c
	}
	peak := 0.0
	for _, v := range values {
		peak = max(peak, v)
	}
	scale := nice(peak)
	until := max(points[len(points)-1].T, 1)
	x := func(t float64) float64 { return left + (width-left-4)*t/until }
	y := func(v float64) float64 { return top + (height-top-bottom)*(1-v/scale) }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s over time">`, width, height, template.HTMLEscapeString(title))
	for i, p := range points {
		if from := 0.0; !p.Ready {
			if i > 0 {
				from = points[i-1].T
			}
			fmt.Fprintf(&b, `<rect class="bad" x="%.1f" y="%d" width="%.1f" height="%d"/>`, x(from), top, x(p.T)-x(from), height-top-bottom)
		}
	}
	for _, v := range []float64{0, scale / 2, scale} {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, width-4, y(v), y(v), left-4, y(v)+3, axis(v))
	}
	for _, t := range []float64{0, until / 2, until} {
		anchor := map[float64]string{0: "start", until: "end"}[t]
		if anchor == "" {
			anchor = "middle"
		}
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%d" text-anchor="%s">%s s</text>`, x(t), height-3, anchor, number(math.Round(t*10)/10))
	}
	var path strings.Builder
	for i, p := range points {
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x(p.T), y(values[i]))
	}
	if len(points) > 1 {
		fmt.Fprintf(&b, `<path class="area" d="%sL%.1f %.1fL%.1f %.1fZ"/>`, path.String(), x(points[len(points)-1].T), y(0), x(points[0].T), y(0))
	}
	fmt.Fprintf(&b, `<path class="line" d="%s"/>`, path.String())
	if len(points) <= 40 {
		for i, p := range points {
			fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="%.1f" r="1.8"><title>%.0f s: %s %s</title></circle>`, x(p.T), y(values[i]), p.T, axis(values[i]), unit)
		}
	}
	b.WriteString(`</svg>`)
	c.SVG, c.Last, c.Peak = template.HTML(b.String()), axis(values[len(values)-1]), axis(peak)
	return c
}

// nice is the least of 1, 2, 2.5, 5 times a power of ten that is at least v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func axis(v float64) string {
	if v >= 10_000 {
		return result.Count(v)
	}
	return number(v)
}
