package result

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Style says how the summary is written.
type Style struct {
	Color bool
}

func (s Style) paint(code, text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) mark(ok bool) string {
	if ok {
		return s.paint("32", "✓")
	}
	return s.paint("31", "✗")
}

// Summary writes the run for people: what was offered, what came of it, the proof, the service levels.
func (r *Result) Summary(w io.Writer, s Style) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	offered := "as fast as possible"
	if r.Rate.Offered > 0 {
		offered = "offered " + Count(r.Rate.Offered) + " rows/s"
	}
	p("")
	p("%s  %s, %s for %.1f s", s.paint("1", strings.ToUpper(r.Workload)), r.Profile, offered, r.DurationS)
	p("  recorded   %s rows at %s rows/s, %s units", Count(float64(r.Record.Count)), Count(r.Rate.Achieved), r.Record.Units)
	p("             a Record call took %s ns in this load (p99 %s), %s on a key in the cache; batches of 64 began %s µs late at p99",
		num(r.Record.Latency.Mean), num(r.Record.Latency.P99), num(r.Record.HotNS), num(r.Record.Lag.P99))
	p("  sealed     %d slices, %s rows, %s; %s µs of CPU time a slice at p99", r.Seal.Slices, Count(float64(r.Seal.Rows)), Bytes(r.Seal.Bytes), num(r.Seal.PerSlice.P99))
	if r.Seal.First > 0 {
		p("             a slice of the first burst, whose keys were new, took %s µs", num(r.Seal.First))
	}
	p("  exported   %d acked, %d duplicates, %d failed, %d retries; ack after %s ms at p50, %s at p99", r.Export.OK, r.Export.Dup, r.Export.Fail, sum(r.Export.Retries), num(r.Export.Latency.P50), num(r.Export.Latency.P99))
	if r.WAL.Enabled {
		p("  WAL        %d fsyncs, %s ms at p50, %s at p99; at most %s on disk; %d corrupt", r.WAL.Fsyncs, num(r.WAL.Fsync.P50), num(r.WAL.Fsync.P99), Bytes(r.WAL.Peak), r.WAL.Corrupt)
	}
	p("  cost       %s %% of a core, without the load generator's %s %%; %s ns a row; %s MiB steady, %s peak with mapped files", num(r.CPU.Core), num(r.CPU.Generator), num(r.CPU.PerRow), num(r.RSS.Steady), num(r.RSS.Peak))
	if f := r.Refused; f != nil {
		p("  refused    %d oversized, %d too compressed requests, as they must be; %s ms at p50, %s at p99", f.Oversize, f.Ratio, num(f.Latency.P50), num(f.Latency.P99))
	}
	if r.Degraded.Seconds > 0 {
		p("  degraded   %s s in all, %s s at a time", num(r.Degraded.Seconds), num(r.Degraded.Longest))
	}
	c := r.Conservation
	p("")
	p("  Read back from the ledger and compared with the generator's own totals, key by key (%d keys, %d streams):", c.Keys, c.Streams)
	p("  %s recorded %s  ledger %s  lost %s  double %s", s.mark(c.Intact()), c.Recorded, c.Ledger, c.Lost, c.Double)
	if c.Pending != "0" || c.Open != "0" || c.Gap != "0" || c.Saturated != "0" || c.Rejected != "0" {
		p("    open %s  pending %s  gap %s  saturated %s  rejected %s", c.Open, c.Pending, c.Gap, c.Saturated, c.Rejected)
	}
	for _, o := range append(c.Order, c.Examples...) {
		p("    %s", o)
	}
	p("")
	p("  %-24s %12s %12s  %s", "service level", "measured", "asked", "own aim")
	for _, f := range r.SLO {
		mark := s.mark(f.Pass)
		if f.Note != "" {
			mark = "–"
		}
		line := fmt.Sprintf("  %s %-22s %12s %12s", mark, f.Name, num(f.Value), "≤ "+num(f.Target))
		for _, a := range r.Reach {
			if a.Name == f.Name {
				line += fmt.Sprintf("  ≤ %s %s", num(a.Target), s.mark(a.Pass))
			}
		}
		if line += "  " + f.Unit; f.Note != "" {
			line += " (" + f.Note + ")"
		}
		p("%s", line)
	}
	for _, a := range r.Reach {
		if r.level(a.Name) == nil {
			sign := "≤"
			if a.Name == "rows_per_s" {
				sign = "≥"
			}
			p("  %s %-22s %12s %12s  %s %s  %s", " ", a.Name, Count(a.Value), "", sign+" "+Count(a.Target), s.mark(a.Pass), a.Unit)
		}
	}
	for _, n := range r.Notes {
		p("  note: %s", n)
	}
	p("")
	verdict := s.paint("32", "passed")
	switch {
	case !c.Intact():
		verdict = s.paint("31", "FAILED: units lost, doubled or out of order")
	case !r.Pass:
		verdict = s.paint("31", "MISSED a service level")
	}
	p("  %s %s", strings.ToUpper(r.Workload), verdict)
}

func (r *Result) level(name string) *Figure {
	for i := range r.SLO {
		if r.SLO[i].Name == name {
			return &r.SLO[i]
		}
	}
	return nil
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.Inf(1) // a figure we cannot read is not a good one
	}
	return v
}

func num(v float64) string { return strconv.FormatFloat(round3(v), 'f', -1, 64) }

func round3(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Ceil(math.Log10(math.Abs(v))))
	if scale < 1 {
		scale = 1
	}
	return math.Round(v*scale) / scale
}

// Count writes a number with k, M or G.
func Count(v float64) string {
	for _, u := range []struct {
		least float64
		name  string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= u.least {
			div := map[string]float64{"G": 1e9, "M": 1e6, "k": 1e3}[u.name]
			return strconv.FormatFloat(round3(v/div), 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
}

// Bytes writes a size in binary units.
func Bytes(n uint64) string {
	switch v := float64(n); {
	case v >= 1<<30:
		return num(v/(1<<30)) + " GiB"
	case v >= 1<<20:
		return num(v/(1<<20)) + " MiB"
	case v >= 1<<10:
		return num(v/(1<<10)) + " KiB"
	}
	return strconv.FormatUint(n, 10) + " B"
}
