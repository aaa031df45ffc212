package pipeline

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
)

var spreads = []string{"random", "counter", "namespaces", "two", "outlier", "ladder", "far", "crafted"}

// rowsOf makes n rows with distinct keys; kind chooses how their ids are spread.
func rowsOf(kind string, n int, rng *rand.Rand) []newRow {
	out := make([]newRow, n)
	for i := range out {
		r := newRow{ns: 1, lo: uint64(i), row: uint32(i)}
		switch kind {
		case "random":
			r.hi, r.lo = rng.Uint64(), rng.Uint64()
		case "namespaces":
			r.ns = rng.Uint32()
		case "two":
			r.ns = uint32(i) << 31
		case "outlier": // one id far from the others, in every word
			if i == 0 {
				r.ns, r.hi, r.lo = math.MaxUint32, math.MaxUint64, math.MaxUint64
			}
		case "ladder": // each pass parts one row from the rest
			r.hi, r.lo = 0, uint64(i)
			if b := i % 224; b < 64 {
				r.hi = 1 << b
			} else if b < 96 {
				r.ns |= 1 << (b - 64)
			}
		case "far": // equal in all but the last bits and the first
			r.ns = uint32(i&1) << 31
			r.hi = uint64(i&2) << 62
		case "crafted": // the bits of each pass tell nothing apart, three times
			r.ns = uint32(i&1) << 31
			r.hi = uint64(i&2)<<62 | uint64(i&4)<<40
			r.lo = uint64(n - i)
		}
		out[i] = r
	}
	rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func keyOf(r *newRow) (k canon.RowKey) {
	r.put(&k)
	return k
}

// checkSort compares with a plain sort by encoded key.
func checkSort(t *testing.T, o *orderer, rows []newRow, place []uint32) {
	t.Helper()
	want := slices.Clone(place)
	slices.SortStableFunc(want, func(a, b uint32) int {
		x, y := keyOf(&rows[a]), keyOf(&rows[b])
		return x.Compare(&y)
	})
	o.sort(rows, place)
	if !slices.Equal(place, want) {
		t.Fatalf("%d rows: not sorted as by comparison", len(place))
	}
	if len(o.runs) > 0 {
		t.Fatalf("%d rows: %d runs are kept", len(place), len(o.runs))
	}
}

func someOf(n, of int, rng *rand.Rand) []uint32 {
	place := make([]uint32, n)
	for i, p := range rng.Perm(of)[:n] {
		place[i] = uint32(p)
	}
	return place
}

func TestOrderAgreesWithComparisonSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var o orderer
	for _, kind := range spreads {
		for _, n := range []int{0, 1, 2, fewRows, fewRows + 1, 100, 1000, 5000, 40_000} {
			rows := rowsOf(kind, n, rng)
			checkSort(t, &o, rows, someOf(n, n, rng))
			checkSort(t, &o, rows, someOf(n/3, n, rng)) // one stream's of many
		}
	}
}

// FuzzOrder sorts rows whose keys are made of the input's bits: shift and step choose where they differ.
func FuzzOrder(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"), uint8(3), uint8(200), uint16(500))
	f.Fuzz(func(t *testing.T, b []byte, shift, step uint8, n uint16) {
		seen := map[newRow]bool{}
		var rows []newRow
		for i := range int(n) % 3000 {
			var w [20]byte
			for j := range w {
				if len(b) > 0 {
					w[j] = b[(i*int(step)+j)%len(b)] >> (shift & 7)
				}
			}
			binary.BigEndian.PutUint16(w[int(shift>>3)%19:], uint16(i))
			r := newRow{ns: binary.BigEndian.Uint32(w[:]), hi: binary.BigEndian.Uint64(w[4:]), lo: binary.BigEndian.Uint64(w[12:])}
			if !seen[r] {
				seen[r] = true
				rows = append(rows, r)
			}
		}
		place := make([]uint32, len(rows))
		for i := range place {
			place[i] = uint32(i)
		}
		checkSort(t, new(orderer), rows, place)
	})
}

// TestMergeAndRenumber compares a stream's order with a map of its rows, through batches of all sizes and renumberings that drop rows.
func TestMergeAndRenumber(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(5, seed))
		all := rowsOf(spreads[seed%uint64(len(spreads))], 3000, rng)
		var s stream
		var o orderer
		want := map[canon.RowKey]uint32{}
		for from := 0; from < len(all); {
			n := min(1+rng.IntN(1<<rng.IntN(11)), len(all)-from)
			batch := all[from : from+n]
			from += n
			place := someOf(n, n, rng)
			o.sort(batch, place)
			s.merge(batch, place)
			for i := range batch {
				want[keyOf(&batch[i])] = batch[i].row
			}
			checkOrder(t, &s, want)
			if rng.IntN(8) > 0 {
				continue
			}
			moves, gone := make([]uint32, len(all)), rng.IntN(4)
			for i, to := range rng.Perm(len(all)) {
				if rng.IntN(4) >= gone {
					moves[i] = uint32(to) + 1
				}
			}
			s.renumber(moves)
			maps.DeleteFunc(want, func(k canon.RowKey, row uint32) bool { return moves[row] == 0 })
			for k, row := range want {
				want[k] = moves[row] - 1
			}
			for i := range all { // rows still to come have their numbers in the new generation
				all[i].row = uint32(i)
			}
			checkOrder(t, &s, want)
		}
	}
}

func checkOrder(t *testing.T, s *stream, want map[canon.RowKey]uint32) {
	t.Helper()
	if len(s.keys) != len(want) || len(s.rows) != len(want) {
		t.Fatalf("%d keys, %d rows, want %d", len(s.keys), len(s.rows), len(want))
	}
	for i := range s.keys {
		if i > 0 && s.keys[i-1].Compare(&s.keys[i]) >= 0 {
			t.Fatalf("keys %d and %d are out of order", i-1, i)
		}
		if row, ok := want[s.keys[i]]; !ok || row != s.rows[i] {
			t.Fatalf("key %d is of row %d, want %d, %v", i, s.rows[i], row, ok)
		}
	}
}

func BenchmarkSortRows(b *testing.B) {
	for _, kind := range spreads {
		for _, n := range []int{64, 128, 1024, 4096, 60_000} {
			b.Run(fmt.Sprintf("ids=%s/rows=%d", kind, n), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(7, 8))
				in := make([][]newRow, max(2, min(16, 1<<17/n))) // rotated: the branch predictor learns a repeated one
				for i := range in {
					in[i] = rowsOf(kind, n, rng)
				}
				place := make([]uint32, n)
				var o orderer
				for i := 0; b.Loop(); i++ {
					for j := range place {
						place[j] = uint32(j)
					}
					o.sort(in[i%len(in)], place)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
			})
		}
	}
}
