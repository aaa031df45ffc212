//go:build !purego

package asm

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// row is what EncodeRows takes a row for.
type row struct {
	ns  uint32
	id  [16]byte
	inc uint64
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 24:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, 24, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 25), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 26), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 27), v)
}

func (r *row) key() (k [24]byte) {
	b := append(append(appendUint(append(k[:0], 0x83), uint64(r.ns)), 0x50), r.id[:]...)
	k[23] = byte(len(b))
	return k
}

// somewhere returns an integer at one of the borders between widths, or of any width.
func somewhere(r *rand.Rand, most int) uint64 {
	v := []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 1, r.Uint64() >> r.IntN(64)}[r.IntN(12)]
	return v & (1<<(most-1)<<1 - 1)
}

// ascendingRows have namespaces and ids that share all that they can with the one before, or nothing.
func ascendingRows(r *rand.Rand, n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i].inc = somewhere(r, 64)
		if i == 0 {
			continue
		}
		rows[i].ns, rows[i].id = rows[i-1].ns, rows[i-1].id
		at := r.IntN(18)
		if rows[i].ns == 1<<32-1 {
			at = 0 // ids are random behind the byte that grew: this one is not at its end so soon
		}
		if at < 16 && rows[i].id[at] < 255 {
			rows[i].id[at]++
			for j := at + 1; j < 16; j++ {
				rows[i].id[j] = byte(r.Uint32())
			}
		} else {
			rows[i].ns = max(rows[i].ns+1, uint32(somewhere(r, 32)))
		}
	}
	return rows
}

// Every kernel writes what one would write byte by byte, finds the sums, and, on memory that ends where the rows do and room that ends where it must,
// touches nothing beyond.
func TestEncodeRows(t *testing.T) {
	mem, room := fenced(t, 2), fenced(t, 2)
	for _, k := range rowKernels() {
		r := rand.New(rand.NewPCG(31, 32))
		for n := range 70 {
			for range 20 {
				rows := ascendingRows(r, n)
				keys := make([][24]byte, n)
				var want [][]byte // the bytes of the first so many rows
				want = append(want, nil)
				incs := make([]uint64, n)
				for i := range rows {
					keys[i], incs[i] = rows[i].key(), rows[i].inc
					b := want[i]
					if rows[i].inc > 0 {
						b = appendUint(append(b[:len(b):len(b)], keys[i][:keys[i][23]]...), rows[i].inc)
					}
					want = append(want, b)
				}
				dst := room[len(room)-n*MaxRow:]
				done, size, tally := encodeKeys(k, dst, atEnd(mem, keys), atEnd(mem[:len(mem)/2], incs))
				checkRows(t, k, "keys", rows, want, dst, done, size, tally)
				done, size, tally = encodeRows(k, dst, atEnd(mem, rows))
				checkRows(t, k, "rows", rows, want, dst, done, size, tally)
			}
		}
	}
}

// atEnd copies s to the end of mem.
func atEnd[T any](mem []byte, s []T) []T {
	if len(s) == 0 {
		return nil
	}
	size := len(s) * int(unsafe.Sizeof(s[0]))
	at := unsafe.Slice((*T)(unsafe.Pointer(&mem[len(mem)-size])), len(s))
	copy(at, s)
	return at
}

func checkRows(t *testing.T, k rowKernel, what string, rows []row, want [][]byte, dst []byte, done, size int, got RowTally) {
	t.Helper()
	if k != noRows && done != max(len(rows)-1, 0)/8*8 || done > len(rows) {
		t.Fatalf("kernel %d, %d %s: %d done", k, len(rows), what, done)
	}
	var sum RowTally
	for _, r := range rows[:done] {
		var carry uint64
		sum.Units[0], carry = bits.Add64(sum.Units[0], r.inc, 0)
		sum.Units[1] += carry
		if r.inc > 0 {
			sum.N++
		}
	}
	sum.Ordered = done > 0
	if string(dst[:size]) != string(want[done]) || got != sum {
		t.Fatalf("kernel %d, %d %s: got %+v\n%x, want %+v\n%x", k, len(rows), what, got, dst[:size], sum, want[done])
	}
}

// A row that is not above the one before is found wherever it stands, and whatever bytes tell them apart.
func TestEncodeRowsOrder(t *testing.T) {
	for _, k := range rowKernels()[1:] {
		r := rand.New(rand.NewPCG(33, 34))
		for n := 9; n < 50; n += 8 {
			for i := 1; i < n-1; i++ {
				for at := range 18 {
					rows := ascendingRows(r, n)
					rows[i] = rows[i-1] // the same key twice
					switch {
					case at < 16 && rows[i].id[at] > 0:
						rows[i].id[at]--
					case at == 16 && rows[i].ns > 0:
						rows[i].ns--
					}
					keys, incs := make([][24]byte, n), make([]uint64, n)
					for j := range rows {
						keys[j], incs[j] = rows[j].key(), rows[j].inc
					}
					dst := make([]byte, n*MaxRow)
					if _, _, tally := encodeKeys(k, dst, keys, incs); tally.Ordered {
						t.Fatalf("kernel %d, %d keys: %d is not above the one before, byte %d", k, n, i, at)
					}
					if _, _, tally := encodeRows(k, dst, rows); tally.Ordered {
						t.Fatalf("kernel %d, %d rows: %d is not above the one before, byte %d", k, n, i, at)
					}
				}
			}
		}
	}
}
