package shardmap

import (
	"math/big"
	"testing"
)

// TestTotals sums counters that fit 64 bits each but not together, over more words of slots than are read at once, beside big.Int.
func TestTotals(t *testing.T) {
	const rows, most = 1000, 1 << 61
	m, err := NewWide(Config{Capacity: rows})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var all, left [3]big.Int
	add := func(i int, inc uint64) {
		if !record(t, m, key(i), inc) { // its dimension is i modulo 3
			t.Fatalf("row %d is not counted", i)
		}
		all[i%len(all)].Add(&all[i%len(all)], new(big.Int).SetUint64(inc))
		left[i%len(all)].Add(&left[i%len(all)], new(big.Int).SetUint64(inc))
	}
	check := func(when string) {
		var recorded, open [len(all)]U128
		m.Totals(recorded[:], open[:])
		for d := range all {
			if recorded[d].String() != all[d].String() || open[d].String() != left[d].String() {
				t.Errorf("%s, dimension %d: got %v recorded, %v open, want %v, %v", when, d, recorded[d], open[d], &all[d], &left[d])
			}
		}
	}
	for i := range rows {
		add(i, most-uint64(i))
	}
	check("counted")
	m.Scan()
	m.Commit()
	clear(left[:])
	check("sealed")
	for i := range rows / 2 {
		add(i, uint64(i))
	}
	check("counted again")
	add(3, 1<<63) // beyond what one pass by the kernel takes
	add(3, 1<<63)
	check("128 bits")
}
