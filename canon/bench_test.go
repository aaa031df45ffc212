package canon

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// freshSets is how many inputs a benchmark rotates: enough that no branch predictor learns their widths.
const freshSets = 32

// mixedRows returns n rows in order whose ns and inc have each width about equally often.
func mixedRows(r *rand.Rand, n int) []Row {
	width := func(classes int) uint64 {
		switch r.IntN(classes) {
		case 0:
			return 1 + r.Uint64N(23)
		case 1:
			return 24 + r.Uint64N(1<<8-24)
		case 2:
			return 1<<8 + r.Uint64N(1<<16-1<<8)
		case 3:
			return 1<<16 + r.Uint64N(1<<32-1<<16)
		}
		return 1<<32 + r.Uint64()>>1
	}
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Namespace: uint32(width(4)), Inc: width(5)}
		binary.NativeEndian.PutUint64(rows[i].Subject[:], r.Uint64())
		binary.NativeEndian.PutUint64(rows[i].Subject[8:], r.Uint64())
	}
	sortRows(rows)
	return rows
}

func benchHead() Head {
	return Head{V: 1, Seq: 1234, Prev: &Digest{1, 2, 3}, Tenant: ID{1}, Writer: ID{2}, Dimension: "bytes", SealedAtMS: 1_800_000_000_123, WindowStartS: 1_800_000_000, WindowEndS: 1_800_000_300}
}

var encodeRows = []int{100, 1024, 2048, 4096}

// BenchmarkEncode writes slices of rows as a caller has them; hashing is not in it.
func BenchmarkEncode(b *testing.B) {
	for _, n := range encodeRows {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			var sets [freshSets][]Row
			for i := range sets {
				sets[i] = mixedRows(r, n)
			}
			h := benchHead()
			var e Encoder
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Reset(nil)
				if e.Begin(&h, n) != nil {
					b.Fatal("Begin")
				}
				e.Append(sets[i%freshSets])
				if e.End() != nil {
					b.Fatal("End")
				}
			}
			b.SetBytes(int64(len(e.Buffer())))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}

// BenchmarkEncodeKeys is BenchmarkEncode for keys that were encoded in an earlier window.
func BenchmarkEncodeKeys(b *testing.B) {
	for _, n := range encodeRows {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			var keys [freshSets][]RowKey
			var incs [freshSets][]uint64
			for i := range keys {
				for _, row := range mixedRows(r, n) {
					keys[i], incs[i] = append(keys[i], MakeRowKey(row.Namespace, row.Subject)), append(incs[i], row.Inc)
				}
			}
			h := benchHead()
			var e Encoder
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Reset(nil)
				if e.Begin(&h, n) != nil {
					b.Fatal("Begin")
				}
				e.AppendKeys(keys[i%freshSets], incs[i%freshSets], n)
				if e.End() != nil {
					b.Fatal("End")
				}
			}
			b.SetBytes(int64(len(e.Buffer())))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}

// BenchmarkDecode reads and hashes slices, without copying them.
func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, MaxBytes} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, uint64(size)))
			var sets [freshSets / 4][]byte
			for i := range sets {
				sets[i] = filledSlice(b, r, size)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := View(sets[i%len(sets)]); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(size))
		})
	}
}

// filledSlice returns a slice that has as many rows as fit into size bytes.
func filledSlice(b testing.TB, r *rand.Rand, size int) []byte {
	h := benchHead()
	rows := mixedRows(r, size/MinRowSize)
	n, used := 0, SizeHead(&h, len(rows))
	for ; n < len(rows) && used+SizeRow(&rows[n]) <= size; n++ {
		used += SizeRow(&rows[n])
	}
	return must[SealedSlice](b)(Encode(h, rows[:n])).Bytes()
}
