package gate

import (
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Alpha is the level below which a difference is significant. A suite has some fifty rows, and a row must also exceed its limit,
// which benchstat's 5 % does not ask for.
const Alpha = 0.01

// Summary is a sample's median with its 95 % confidence interval.
type Summary struct {
	Center float64 `json:"center"`
	Lo     float64 `json:"lo"`
	Hi     float64 `json:"hi"`
	N      int     `json:"n"`
}

func sample(values []float64) *benchmath.Sample {
	t := benchmath.DefaultThresholds
	t.CompareAlpha = Alpha
	return benchmath.NewSample(slices.Clone(values), &t) // NewSample sorts in place
}

func summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	s := benchmath.AssumeNothing.Summary(sample(values), 0.95)
	out := Summary{Center: s.Center, Lo: s.Lo, Hi: s.Hi, N: len(values)}
	if math.IsInf(out.Lo, 0) { // too few samples for an interval: JSON has no infinity
		out.Lo = slices.Min(values)
	}
	if math.IsInf(out.Hi, 0) {
		out.Hi = slices.Max(values)
	}
	return out
}

// pValue is the probability of a difference like this between samples of the same thing. Two constant, equal samples have none: 1.
func pValue(a, b []float64) float64 {
	p := benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
	if math.IsNaN(p) {
		return 1
	}
	return p
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// delta is how much worse b's median is than a's, in percent; of zero, anything above is infinitely worse.
func delta(a, b []float64) float64 {
	x, y := median(a), median(b)
	switch {
	case x == y:
		return 0
	case x == 0:
		return math.Inf(1)
	}
	return 100 * (y - x) / x
}

// noise is what a comparison of the base with itself shows, in percent: the measured A/A difference or, if larger, the 95th
// percentile over random halves of all its samples. The halves are the same for the same number of samples.
func noise(a, aa []float64) float64 {
	n := math.Abs(delta(a, aa))
	all := slices.Concat(a, aa)
	if len(all) < 4 {
		return n
	}
	r := rand.New(rand.NewPCG(9, uint64(len(all))))
	const splits = 200
	ds := make([]float64, 0, splits)
	for range splits {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		ds = append(ds, math.Abs(delta(all[:len(all)/2], all[len(all)/2:])))
	}
	slices.Sort(ds)
	return max(n, ds[splits*95/100])
}
