//go:build linux && !race && !purego

package shardmap

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestMemory: a full map takes at most 160 bytes a row of capacity and 8 a row and P (up to 15 Ps), by the kernel's
// count of what it touched.
func TestMemory(t *testing.T) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm: resident memory can't be read here")
	}
	rss := func(b []byte) int {
		n, _ := strconv.Atoi(strings.Fields(string(b))[1])
		return n * os.Getpagesize()
	}
	const rows, columns = 400_000, 2
	before := rss(b)
	m, err := NewWide(Config{Capacity: rows, Columns: columns})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		k := key(i)
		if m.Insert(&k, 0, 1) != OK || m.Add(&k, 1) != OK {
			t.Fatal(i)
		}
	}
	b, _ = os.ReadFile("/proc/self/statm")
	t.Logf("%.0f bytes a row before the first scan", float64(rss(b)-before)/rows)
	for range 2 {
		m.Scan()
		m.NewRows(m.Capacity(), func(uint32, uint32, *WideKey) {})
		m.Commit()
	}
	b, _ = os.ReadFile("/proc/self/statm")
	per := float64(rss(b)-before) / rows
	t.Logf("%.0f bytes a row with %d columns", per, columns)
	if limit := 160.0 + 8*columns; per > limit && !testing.Short() && strconv.IntSize == 64 {
		t.Errorf("%.0f bytes a row, want at most %.0f", per, limit)
	}
}
