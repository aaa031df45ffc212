//go:build linux || darwin

package asm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"

	"github.com/zeebo/blake3"
)

// fenced returns n pages between two that can't be touched.
func fenced(t *testing.T, n int) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	b, err := syscall.Mmap(-1, 0, (n+2)*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	for _, fence := range [][]byte{b[:page], b[(n+1)*page:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return b[page : (n+1)*page]
}

// TestUnreadableNeighbours hashes messages that end, or begin, where reading one
// byte more would kill the process.
func TestUnreadableNeighbours(t *testing.T) {
	b := fenced(t, 17)
	copy(b, randomBytes(len(b), 17))
	var ns []int
	for n := range 2100 {
		ns = append(ns, n)
	}
	for n := 2112; n <= len(b); n += blockLen {
		ns = append(ns, n-1, n)
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		for _, n := range ns {
			head, tail := b[:n], b[len(b)-n:]
			if v.Sum256(head) != blake3.Sum256(head) || v.Sum256(tail) != blake3.Sum256(tail) {
				t.Fatalf("%d bytes: wrong digest", n)
			}
			if v.Path != cpufeat.SSE41 && v.Kernel(tail) != blake3.Sum256(tail) {
				t.Fatalf("kernel, %d bytes: wrong digest", n)
			}
		}
		var msgs [][]byte
		for i := range 260 {
			msgs = append(msgs, b[len(b)-ns[i*37%len(ns)]:], b[:i*11])
		}
		checkMany(t, v, "fenced", msgs)
	})
}

// TestUnwritableNeighbours: digests that lie where the memory ends, or begins, and every other byte of it stays as it was.
func TestUnwritableNeighbours(t *testing.T) {
	p := newPlot(t, 2)
	b := randomBytes(20*chunkLen, 19)
	eachVariant(t, func(t *testing.T, v Variant) {
		for n := range 40 {
			var msgs [][]byte
			for i := range n {
				msgs = append(msgs, b[i:][:i*i*997%(5*chunkLen)])
			}
			for _, s := range sides {
				dst := lend[cv](p, s, n)
				v.SumMany(dst, msgs)
				for i, m := range msgs {
					if dst[i] != blake3.Sum256(m) {
						t.Fatalf("%d messages, %s: wrong digest", n, s)
					}
				}
				p.check(t, fmt.Sprintf("%d messages, %s", n, s))
			}
		}
	})
}

// plot is pages between two that can't be touched, from which an array is lent at one side.
type plot struct {
	mem      []byte
	from, to int // what is lent
}

type side string

const (
	atFront side = "behind a fence"
	atBack  side = "before a fence"
)

var sides = []side{atFront, atBack}

const canary = 0xa5

func newPlot(t *testing.T, pages int) *plot { return &plot{mem: fenced(t, pages)} }

// lend returns n values of T, which holds no pointers, at a side of p, full of canaries as all of p is. It ends what was lent before.
func lend[T any](p *plot, s side, n int) []T {
	size := n * int(unsafe.Sizeof(*new(T)))
	p.from = 0
	if s == atBack {
		p.from = len(p.mem) - size
	}
	p.to = p.from + size
	for i := range p.mem {
		p.mem[i] = canary
	}
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&p.mem[p.from])), n)
}

// lendCopy lends a copy of v.
func lendCopy[T any](p *plot, s side, v []T) []T {
	to := lend[T](p, s, len(v))
	copy(to, v)
	return to
}

// check fails the test if a byte of p was written that is not lent.
func (p *plot) check(t *testing.T, what string) {
	t.Helper()
	for i, b := range p.mem {
		if b != canary && (i < p.from || i >= p.to) {
			t.Fatalf("%s: byte %d of what lies at %d to %d was written", what, i-p.from, p.from, p.to)
		}
	}
}

// TestScanNeighbours: a scan reads and writes nothing beyond its slots, in memory that ends with them and in memory that begins with them.
func TestScanNeighbours(t *testing.T) {
	var plots [6]*plot
	for i := range plots {
		plots[i] = newPlot(t, 2)
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		r := rand.New(rand.NewPCG(25, 26))
		for _, n := range append(numbers(64*3+2), 64*4, 64*5-1, 64*5) {
			for _, sd := range sides {
				s := newScan(r, n, 1+r.IntN(3))
				if n > 0 { // the last column ends with the last slot
					s.Cells = s.Cells[:(s.Cols-1)*s.Stride+n]
				}
				want := s.clone()
				for i := range want.Present {
					want.word(i)
				}
				s.Present, s.Cells, s.Base = lendCopy(plots[0], sd, s.Present), lendCopy(plots[1], sd, s.Cells), lendCopy(plots[2], sd, s.Base)
				s.Next, s.Open, s.Seen = lendCopy(plots[3], sd, s.Next), lendCopy(plots[4], sd, s.Open), lendCopy(plots[5], sd, s.Seen)
				s.run(v.Path)
				what := fmt.Sprintf("%d slots, %d columns, %s", n, s.Cols, sd)
				if !slices.Equal(s.Next, want.Next) || !slices.Equal(s.Open, want.Open) || !slices.Equal(s.Seen, want.Seen) {
					t.Fatalf("%s: differs from the reference", what)
				}
				if !slices.Equal(s.Present, want.Present) || !slices.Equal(s.Cells, want.Cells) || !slices.Equal(s.Base, want.Base) {
					t.Fatalf("%s: what is only to be read was written", what)
				}
				for _, p := range plots {
					p.check(t, what)
				}
			}
		}
	})
}

// TestGatherNeighbours: a gather reads the words that it is asked for and no others, also where a number of those that follow is beyond them, and
// hints touch nothing.
func TestGatherNeighbours(t *testing.T) {
	to, from, numbered := newPlot(t, 2), newPlot(t, 2), newPlot(t, 1)
	eachVariant(t, func(t *testing.T, v Variant) {
		r := rand.New(rand.NewPCG(27, 28))
		for n := range 200 {
			for _, s := range sides {
				values, rows := make([]uint64, 1+r.IntN(500)), make([]uint32, n)
				for i := range values {
					values[i] = r.Uint64() * uint64(r.IntN(3))
				}
				for i := range rows {
					rows[i] = uint32(r.IntN(len(values)))
					if r.IntN(4) == 0 { // the first and the last are next to the fences
						rows[i] = uint32(r.IntN(2) * (len(values) - 1))
					}
				}
				want, zeros := make([]uint64, n), 0
				for i, row := range rows {
					if want[i] = values[row]; want[i] == 0 {
						zeros++
					}
				}
				dst, src, nums := lend[uint64](to, s, n), lendCopy(from, s, values), lendCopy(numbered, s, rows)
				Prefetch(src, 1<<20)
				PrefetchWords(src, nums, 1<<20)
				what := fmt.Sprintf("%d rows of %d, %s", n, len(values), s)
				if z := gather(v.Path, dst, src, nums); z != zeros || !slices.Equal(dst, want) {
					t.Fatalf("%s: %d zeros, want %d, or other words", what, z, zeros)
				}
				if n > 0 {
					nums[r.IntN(n)] = uint32(len(values)) << r.IntN(20)
					PrefetchWords(src, nums, 1<<20)
					mustPanic(t, what+", one of them beyond", func() { gather(v.Path, dst, src, nums) })
				}
				for _, p := range []*plot{to, from, numbered} {
					p.check(t, what)
				}
			}
		}
	})
}
