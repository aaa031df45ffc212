package asm

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// newScan makes a scan of n slots: some words of present full, some empty, most mixed, and half of what is there without anything open.
func newScan(r *rand.Rand, n, cols int) *Scan {
	stride := (n+15)&^15 + 16
	s := &Scan{
		Present: make([]uint64, (n+63)/64), Cells: make([]uint64, stride*cols), Stride: stride, Cols: cols,
		Base: make([]uint64, n), Next: make([]uint64, n), Open: make([]uint64, n), Seen: make([]uint16, n), Now: uint16(r.Uint32()),
	}
	for i := range s.Present {
		if s.Present[i] = r.Uint64(); r.IntN(4) == 0 {
			s.Present[i] = uint64(r.IntN(2)) * ^uint64(0)
		}
	}
	for i := range s.Cells {
		s.Cells[i] = r.Uint64() >> r.IntN(64)
	}
	for i := range s.Base {
		s.Next[i], s.Open[i], s.Seen[i] = r.Uint64(), r.Uint64(), uint16(r.Uint32())
		for c := range cols {
			s.Base[i] += s.Cells[c*stride+i]
		}
		if r.IntN(2) == 0 {
			s.Base[i] -= r.Uint64() >> r.IntN(64)
		}
	}
	return s
}

func (s *Scan) clone() *Scan {
	c := *s
	c.Next, c.Open, c.Seen = slices.Clone(s.Next), slices.Clone(s.Open), slices.Clone(s.Seen)
	return &c
}

// Every path scans as the reference does: every number of slots to a few words, and around what a kernel takes at once.
func TestScan(t *testing.T) {
	eachVariant(t, func(t *testing.T, v Variant) {
		r := rand.New(rand.NewPCG(21, 22))
		for n := range 64*5 + 2 {
			checkScan(t, v, newScan(r, n, 1+r.IntN(5)))
		}
		for _, words := range []int{63, 64, 65, 127, 128, 129, 200} {
			for d := -1; d <= 1; d++ {
				checkScan(t, v, newScan(r, 64*words+d, 1+r.IntN(3)))
			}
		}
	})
}

func checkScan(t *testing.T, v Variant, s *Scan) {
	t.Helper()
	want := s.clone()
	for i := range want.Present {
		want.word(i)
	}
	if s.run(v.Path); !reflect.DeepEqual(s, want) {
		t.Fatalf("%d slots, %d columns: differs from the reference", len(s.Base), s.Cols)
	}
}

// Every path gathers as the reference does, and refuses a row that is not there wherever it stands.
func TestGather(t *testing.T) {
	eachVariant(t, func(t *testing.T, v Variant) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, n := range append(numbers(100), 4095, 4096, 4097, 8192, 9000) {
			from := make([]uint64, 1+r.IntN(2*n+1))
			for i := range from {
				from[i] = r.Uint64() * uint64(r.IntN(3))
			}
			rows, want, zeros := make([]uint32, n), make([]uint64, n), 0
			for i := range rows {
				rows[i] = uint32(r.IntN(len(from)))
				if want[i] = from[rows[i]]; want[i] == 0 {
					zeros++
				}
			}
			got := make([]uint64, n+1)
			got[n] = 0xa5
			if z := gather(v.Path, got, from, rows); z != zeros || !slices.Equal(got[:n], want) || got[n] != 0xa5 {
				t.Fatalf("%d rows: %d zeros, want %d, or other words", n, z, zeros)
			}
			if n == 0 {
				continue
			}
			for _, wrong := range []uint32{uint32(len(from)), 1<<32 - 1} {
				rows[r.IntN(n)] = wrong
				mustPanic(t, fmt.Sprintf("%d rows, one of them %d of %d", n, wrong, len(from)), func() { gather(v.Path, got, from, rows) })
			}
			mustPanic(t, "nothing to gather from", func() { gather(v.Path, got, nil, rows) })
		}
	})
}

func numbers(n int) (ns []int) {
	for i := range n {
		ns = append(ns, i)
	}
	return ns
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Fatalf("%s: no panic", what)
		}
	}()
	f()
}

func BenchmarkScan(b *testing.B) {
	for _, n := range []int{5 << 10, 375_000} {
		for _, v := range Variants() {
			b.Run(fmt.Sprintf("path=%s/slots=%d", v.Name, n), func(b *testing.B) {
				s := newScan(rand.New(rand.NewPCG(1, 2)), n, 2)
				for b.Loop() {
					s.run(v.Path)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/slot")
			})
		}
	}
}

func BenchmarkGather(b *testing.B) {
	for _, n := range []int{4096, 300_000} {
		for _, v := range Variants() {
			b.Run(fmt.Sprintf("path=%s/rows=%d", v.Name, n), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 2))
				from, dst, rows := make([]uint64, n*5/4), make([]uint64, n), make([]uint32, n)
				for i := range rows {
					rows[i] = uint32(r.IntN(len(from)))
				}
				for b.Loop() {
					gather(v.Path, dst, from, rows)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
			})
		}
	}
}
