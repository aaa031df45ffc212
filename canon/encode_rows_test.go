package canon

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever writes several rows at once must be AppendRow: for every number of rows around its blocks, with rows without units among them,
// with the buffer's rest left alone, and with every sum and count right.
func TestRowsTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for n := range 70 {
		for range 12 {
			rows := mixedRows(r, n)
			for i := range rows {
				switch r.IntN(12) {
				case 0:
					rows[i].Inc = 0
				case 1:
					rows[i].Inc = math.MaxUint64
				case 2:
					rows[i].Inc = []uint64{23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32}[r.IntN(8)]
				case 3:
					rows[i].Namespace = []uint32{0, 23, 24, 255, 256, 65535, 65536, math.MaxUint32}[r.IntN(8)]
				}
			}
			sortRows(rows)
			want, sum := []byte("before"), rowOrder{}
			for i := range rows {
				if rows[i].Inc > 0 {
					want = AppendRow(want, &rows[i])
				}
			}
			sum.rows(rows)
			keys, incs := plainKeys(rows)
			for name, write := range map[string]func(o *rowOrder, dst []byte) int{
				"rows": func(o *rowOrder, dst []byte) int { return o.appendRows(dst, 6, rows) },
				"keys": func(o *rowOrder, dst []byte) int { return o.appendKeys(dst, 6, keys, incs) },
			} {
				dst := append([]byte("before"), make([]byte, n*MaxRowSize+9)...)
				for i := range dst[6:] {
					dst[6+i] = 0xa5
				}
				var o rowOrder
				end := write(&o, dst[:6+n*MaxRowSize])
				if string(dst[:end]) != string(want) {
					t.Fatalf("%s, %d: got\n%x, want\n%x", name, n, dst[:end], want)
				}
				if o != sum {
					t.Fatalf("%s, %d: got %+v, want %+v", name, n, o, sum)
				}
				if slices.ContainsFunc(dst[6+n*MaxRowSize:], func(b byte) bool { return b != 0xa5 }) {
					t.Fatalf("%s, %d: wrote beyond the room", name, n)
				}
			}
		}
	}
}

func plainKeys(rows []Row) (keys []RowKey, incs []uint64) {
	for i := range rows {
		keys, incs = append(keys, MakeRowKey(rows[i].Namespace, rows[i].Subject)), append(incs, rows[i].Inc)
	}
	return keys, incs
}

// Every pair of neighbours in the wrong order, or the same, is found, at whatever byte they differ, and where a call of Append ended between them.
func TestRowsTogetherOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for n := 2; n < 40; n++ {
		for i := 1; i < n; i++ {
			rows := mixedRows(r, n)
			a, b := &rows[i-1], &rows[i]
			b.Namespace, b.Subject = a.Namespace, a.Subject // the same key twice
			if at := r.IntN(18); at < 16 && a.Subject[at] > 0 {
				b.Subject[at]--
			} else if at == 16 && a.Namespace > 0 {
				b.Namespace--
			}
			if i+1 < n && b.Compare(&rows[i+1]) >= 0 {
				t.Fatal("the rows behind are out of order, too")
			}
			keys, incs := plainKeys(rows)
			for cut := range n + 1 {
				h := benchHead()
				for _, appendTo := range []func(e *Encoder){
					func(e *Encoder) { e.Append(rows[:cut]); e.Append(rows[cut:]) },
					func(e *Encoder) { e.AppendKeys(keys[:cut], incs[:cut], n); e.AppendKeys(keys[cut:], incs[cut:], n) },
				} {
					var e Encoder
					if err := e.Begin(&h, n); err != nil {
						t.Fatal(err)
					}
					appendTo(&e)
					var se *SchemaError
					if err := e.End(); !errors.As(err, &se) || se.Rule != RuleRowOrder {
						t.Fatalf("%d rows, row %d not above the one before, cut at %d: got %v", n, i, cut, err)
					}
				}
			}
		}
	}
}
