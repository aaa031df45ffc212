package bench

import (
	"fmt"
	"io"
	"runtime"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// Header writes what stands before the lines in Go's benchmark format.
func Header(w io.Writer) {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: github.com/ron-accounting/ron-accounting\ncpu: %s\npath: %s\n", runtime.GOOS, runtime.GOARCH, cpufeat.Brand(), cpufeat.Selected())
}

// Line writes r in Go's benchmark format, which benchstat reads.
func (r Result) Line(w io.Writer) {
	fmt.Fprintf(w, "Benchmark%s-%d\t%d\t%s ns/op\t%s best-ns/op", r.Name, runtime.GOMAXPROCS(0), r.N, figure(r.NS), figure(r.Best))
	if r.MBs > 0 {
		fmt.Fprintf(w, "\t%.1f MB/s", r.MBs)
	}
	fmt.Fprintf(w, "\t%.0f B/op\t%.0f allocs/op\n", r.Bytes, r.Allocs)
}

func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
