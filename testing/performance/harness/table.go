package harness

import (
	"fmt"
	"io"
	"strings"
)

// Table prints results with the ratio of each to the base contender (by name; the first one if there is none of that name) and, where
// operations have a size, the throughput.
func Table(w io.Writer, title, base string, rs []Result) {
	if len(rs) == 0 {
		return
	}
	b, size := rs[0], false
	width := 10
	for _, r := range rs {
		if r.Name == base {
			b = r
		}
		size = size || r.Bytes > 0
		width = max(width, len(r.Name))
	}
	fmt.Fprintf(w, "%s\n", title)
	head := fmt.Sprintf("  %-*s %12s %12s %12s %9s %10s", width, "", "median", "min", "max", "allocs", "× "+clip(b.Name, 8))
	if size {
		head += "     GB/s"
	}
	fmt.Fprintln(w, strings.TrimRight(head, " "))
	for _, r := range rs {
		line := fmt.Sprintf("  %-*s %12s %12s %12s %9.2g %10.3f", width, r.Name, Ns(r.NsOp), Ns(r.Min), Ns(r.Max), r.Allocs, r.NsOp/b.NsOp)
		if r.Bytes > 0 {
			line += fmt.Sprintf(" %8.2f", float64(r.Bytes)/r.NsOp)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
}

// Ns writes nanoseconds as people read them.
func Ns(v float64) string {
	switch {
	case v < 100:
		return fmt.Sprintf("%.2f ns", v)
	case v < 10_000:
		return fmt.Sprintf("%.0f ns", v)
	case v < 10_000_000:
		return fmt.Sprintf("%.1f µs", v/1e3)
	}
	return fmt.Sprintf("%.1f ms", v/1e6)
}

func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
