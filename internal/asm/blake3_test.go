package asm

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"unsafe"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"

	"github.com/zeebo/blake3"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func randomBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func eachVariant(t *testing.T, f func(t *testing.T, v Variant)) {
	for _, v := range Variants() {
		t.Run(v.Name, func(t *testing.T) { f(t, v) })
	}
}

func TestOfficialVectors(t *testing.T) {
	if len(official) != 35 {
		t.Fatalf("%d vectors, want 35", len(official))
	}
	var msgs [][]byte
	var want []cv
	for _, o := range official {
		m := pattern(o.bytes)
		d := blake3.Sum256(m)
		if o.hash != "" {
			if b, err := hex.DecodeString(o.hash); err != nil || copy(d[:], b) != len(d) {
				t.Fatalf("vector of %d bytes: %q", o.bytes, o.hash)
			}
		}
		msgs, want = append(msgs, m), append(want, d)
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		dst := make([]cv, len(msgs))
		v.SumMany(dst, msgs)
		for i, m := range msgs {
			if d := v.Sum256(m); d != want[i] || dst[i] != want[i] {
				t.Errorf("%d bytes: Sum256 %x, SumMany %x, want %x", len(m), d, dst[i], want[i])
			}
		}
	})
}

// lengths are every length to 5 chunks, then the three at every block border to
// 64 KiB, then those around section borders and random ones.
func lengths() (ns []int) {
	for n := range 5*chunkLen + 2 {
		ns = append(ns, n)
	}
	for n := 5*chunkLen + blockLen; n <= 64*chunkLen; n += blockLen {
		ns = append(ns, n-1, n, n+1)
	}
	for n := sectionChunks / 2; n <= 5*sectionChunks; n += sectionChunks / 2 {
		for d := -1; d <= 1; d++ {
			ns = append(ns, (n+d)*chunkLen, n*chunkLen+d)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		ns = append(ns, r.IntN(64*chunkLen), r.IntN(4*sectionChunks*chunkLen))
	}
	return ns
}

func TestEveryLength(t *testing.T) {
	ns := lengths()
	if testing.Short() {
		ns = ns[:len(ns)/2]
	}
	b := randomBytes((5*sectionChunks+1)*chunkLen, 7)
	want := make([]cv, len(ns))
	for i, n := range ns {
		want[i] = blake3.Sum256(b[:n])
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		for i, n := range ns {
			if got := v.Sum256(b[:n]); got != want[i] {
				t.Fatalf("%d bytes: got %x, want %x", n, got, want[i])
			}
			if n > v.Short {
				continue
			}
			if got := v.Kernel(b[:n]); got != want[i] {
				t.Fatalf("kernel, %d bytes: got %x, want %x", n, got, want[i])
			}
		}
	})
}

func TestAlignment(t *testing.T) {
	b := randomBytes(20*chunkLen, 9)
	eachVariant(t, func(t *testing.T, v Variant) {
		for off := range 65 {
			for _, n := range []int{0, 1, 63, 65, 1000, 1025, 5000, 17 * chunkLen, 18*chunkLen - 3} {
				if v.Sum256(b[off:off+n]) != blake3.Sum256(b[off:off+n]) {
					t.Fatalf("%d bytes at offset %d", n, off)
				}
			}
		}
	})
}

func checkMany(t *testing.T, v Variant, what string, msgs [][]byte) {
	t.Helper()
	dst := make([]cv, len(msgs)+1)
	guard := cv{1, 2, 3}
	dst[len(msgs)] = guard
	v.SumMany(dst, msgs)
	for i, m := range msgs {
		if want := blake3.Sum256(m); dst[i] != want {
			t.Fatalf("%s: message %d of %d, %d bytes: got %x, want %x", what, i, len(msgs), len(m), dst[i], want)
		}
	}
	if dst[len(msgs)] != guard {
		t.Fatalf("%s: wrote past the last digest", what)
	}
}

func TestSumMany(t *testing.T) {
	b := randomBytes(sectionChunks*chunkLen*2, 11)
	r := rand.New(rand.NewPCG(3, 4))
	slice := func(max int) []byte {
		n := r.IntN(max + 1)
		at := r.IntN(len(b) - n + 1)
		return b[at : at+n] // they overlap each other
	}
	eachVariant(t, func(t *testing.T, v Variant) {
		checkMany(t, v, "none", nil)
		checkMany(t, v, "nil", [][]byte{nil, {}, nil})
		for _, max := range []int{0, 64, 1023, 1024, 1025, 4200, 40 << 10, 300 << 10} {
			for _, n := range []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 127, 128, 129, 300} {
				if n*max > 12<<20 {
					continue
				}
				var msgs [][]byte
				for range n {
					msgs = append(msgs, slice(max))
				}
				checkMany(t, v, fmt.Sprintf("up to %d", max), msgs)
			}
		}
		for n := range 40 { // every number of whole chunks, all alike
			m := b[:n*chunkLen]
			checkMany(t, v, "alike", [][]byte{m, m, m, b[:n*chunkLen+1], m, nil, m})
		}
		var mixed [][]byte // long ones between short ones
		for i := range 200 {
			if i%50 == 20 {
				mixed = append(mixed, b[:(aloneChunks+i)*chunkLen+i])
			}
			mixed = append(mixed, slice(9000))
		}
		checkMany(t, v, "mixed", mixed)
	})
}

func TestSumManyShortDst(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a dst that is too short went unnoticed")
		}
	}()
	SumMany(make([]cv, 1), make([][]byte, 2))
}

// TestKernelsOnRandomLanes compares each kernel with the reference on argument
// blocks that the driver may not have made yet: any counter, any flags.
func TestKernelsOnRandomLanes(t *testing.T) {
	b := randomBytes(64*chunkLen, 13)
	r := rand.New(rand.NewPCG(5, 6))
	eachVariant(t, func(t *testing.T, v Variant) {
		w := width(v.Path)
		for range 500 {
			var l lanes
			var got, want [maxLanes]cv
			var tails [maxLanes][blockLen]byte
			n := 1 + r.IntN(w)
			l.flags, l.firstFlags, l.ctrHi = r.Uint32(), r.Uint32(), r.Uint32()
			l.ragged = uint32(r.IntN(2))
			last := uint32(r.IntN(16))
			for i := range n {
				at := r.IntN(len(b) - chunkLen)
				l.in[i] = data(b[at:])
				copy(tails[i][:], b[r.IntN(len(b)-blockLen):])
				l.tail[i] = noescape(unsafe.Pointer(&tails[i]))
				l.ctr[i], l.lastLen[i], l.lastFlags[i] = r.Uint32(), r.Uint32(), r.Uint32()
				l.last[i] = last
				if l.ragged != 0 && i > 0 {
					l.last[i] = uint32(r.IntN(int(last) + 1))
				}
			}
			m := l
			for i := range n {
				l.out[i], m.out[i] = out(&got[i]), out(&want[i])
			}
			l.run(v.Path, n)
			hashGeneric(&m, n)
			if got != want {
				t.Fatalf("%d lanes, last %v, ragged %d:\ngot  %x\nwant %x", n, l.last, l.ragged, got[:n], want[:n])
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	b := randomBytes(400*chunkLen, 15)
	msgs := [][]byte{b[:10], b[:5000], b[:40000], b, nil}
	dst := make([]cv, len(msgs))
	eachVariant(t, func(t *testing.T, v Variant) {
		for _, m := range msgs {
			if n := testing.AllocsPerRun(20, func() { sumPath(v.Path, m) }); n != 0 {
				t.Errorf("Sum256 of %d bytes: %v allocations", len(m), n)
			}
		}
		if n := testing.AllocsPerRun(20, func() { manyPath(v.Path, dst, msgs) }); n != 0 {
			t.Errorf("SumMany: %v allocations", n)
		}
	})
	if n := testing.AllocsPerRun(20, func() {
		var local [3000]byte // must stay on the stack
		local[0] = 1
		Sum256(local[:])
	}); n != 0 {
		t.Errorf("Sum256 of a local array: %v allocations", n)
	}
}

// TestMovingStacks hashes local arrays on fresh goroutines, so deep in their stacks that these grow, and so move, at any call of the driver: also
// where the kernel's argument is ready and names what lies on the stack. The longer array takes more than one pass of any kernel. See also
// TestStacksOfBefore.
func TestMovingStacks(t *testing.T) {
	type short = [3000]byte
	type long = [33*chunkLen + 1]byte
	wantShort, wantLong := blake3.Sum256((&short{7})[:]), blake3.Sum256((&long{7})[:])
	eachVariant(t, func(t *testing.T, v Variant) {
		var wg sync.WaitGroup
		for depth := range 300 {
			wg.Go(func() {
				below(depth, func() {
					local := long{7}
					if sumPath(v.Path, local[:]) != wantLong {
						t.Errorf("%d deep: wrong digest of a local array", depth)
					}
				})
			})
			wg.Go(func() {
				below(depth, func() {
					local := short{7}
					var dst [3]cv
					msgs := [3][]byte{local[:], local[:], local[:]}
					manyPath(v.Path, dst[:], msgs[:])
					if dst != [3]cv{wantShort, wantShort, wantShort} {
						t.Errorf("%d deep: wrong digests of local arrays", depth)
					}
				})
			})
		}
		wg.Wait()
	})
}

// below calls f from so many frames of some 100 bytes further down.
//
//go:noinline
func below(frames int, f func()) (sum byte) {
	if frames == 0 {
		f()
		return 0
	}
	var pad [64]byte
	pad[frames&63] = byte(frames)
	return pad[frames&31] + below(frames-1, f)
}

func TestSelected(t *testing.T) {
	// Read here too, so that go test does not answer from its cache.
	_, _ = os.Getenv(cpufeat.EnvCPU), os.Getenv(cpufeat.EnvRequire)
	if err := cpufeat.Err(); err != nil {
		t.Fatal(err)
	}
	b := pattern(5000)
	var d [1]cv
	SumMany(d[:], [][]byte{b})
	if want := sumPath(cpufeat.Generic, b); Sum256(b) != want || d[0] != want {
		t.Error("the selected path differs from generic")
	}
	found := false
	for _, v := range cpufeat.Variants("asm") {
		found = found || v.Path == cpufeat.Selected()
	}
	if !found {
		t.Errorf("the selected path %s is not registered", cpufeat.Selected())
	}
}
