//go:build !purego && (linux || darwin)

package asm

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
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

// Every kernel writes what one would write byte by byte, finds the sums, and, on memory and room that end, or begin, where they must, touches
// nothing beyond. Of the room that it writes to it may use MaxRow bytes for each row that it encodes.
func TestEncodeRows(t *testing.T) {
	keyMem, incMem, rowMem, room := newPlot(t, 1), newPlot(t, 1), newPlot(t, 1), newPlot(t, 1)
	for _, k := range rowKernels() {
		r := rand.New(rand.NewPCG(31, 32))
		for n := range 70 {
			for turn := range 20 {
				rows := ascendingRows(r, n)
				if turn < 2 { // the widest there are: they fill the room
					for i := range rows {
						rows[i].ns, rows[i].inc = 1<<16+uint32(i), 1<<64-1
					}
				}
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
				s := sides[turn&1]
				rows, keys, incs = lendCopy(rowMem, s, rows), lendCopy(keyMem, s, keys), lendCopy(incMem, s, incs)
				dst := lend[byte](room, s, n*MaxRow)
				check := func(what string, done, size int, tally RowTally) {
					t.Helper()
					checkRows(t, k, what, rows, want, dst, done, size, tally)
					room.to = room.from + done*MaxRow
					for _, p := range []*plot{room, rowMem, keyMem, incMem} {
						p.check(t, fmt.Sprintf("kernel %d, %d %s, %s", k, n, what, s))
					}
				}
				done, size, tally := encodeKeys(k, dst, keys, incs)
				check("keys", done, size, tally)
				dst = lend[byte](room, s, n*MaxRow)
				done, size, tally = encodeRows(k, dst, rows)
				check("rows", done, size, tally)
			}
		}
	}
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
