package canon

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// TestRowKey compares keys with what the plain encoder writes, and their order with the rows'.
func TestRowKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ns []uint32
	for b := range 33 {
		for _, d := range []uint32{^uint32(0), 0, 1} {
			ns = append(ns, uint32(uint64(1)<<b)+d)
		}
	}
	ns = append(ns, 22, 23, 24, 25, 254, 255, 256, 65535, 65536)
	plain := func(n uint32, id ID) []byte {
		b := AppendUint([]byte{majorArray | 3}, uint64(n))
		return append(append(b, majorBytes|16), id[:]...)
	}
	var lastKey RowKey
	var last []byte
	for range 20_000 {
		n := ns[rng.IntN(len(ns))]
		var id ID
		for i := range id {
			id[i] = byte(rng.Uint32() >> (rng.Uint32() & 31))
		}
		k, want := MakeRowKey(n, id), plain(n, id)
		if !bytes.Equal(k[:len(want)], want) || int(k[23]) != len(want) || bits.OnesCount8(k[22]) > 0 && len(want) < 23 {
			t.Fatalf("%d %v: got %x, want %x", n, id, k, want)
		}
		if k.Namespace() != n || k.Subject() != id {
			t.Fatalf("%d %v: read back %d %v", n, id, k.Namespace(), k.Subject())
		}
		if last != nil && k.Compare(&lastKey) != bytes.Compare(want, last) {
			t.Fatalf("%x and %x: compare %d", k, lastKey, k.Compare(&lastKey))
		}
		if k.Compare(&k) != 0 {
			t.Fatal("not equal to itself")
		}
		last, lastKey = want, k
	}
}

func BenchmarkRowKey(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ns [4096]uint32
	for i := range ns {
		ns[i] = rng.Uint32() >> rng.IntN(32)
	}
	var out [64]RowKey
	for i := 0; b.Loop(); i++ {
		out[i%64].Set(ns[i%4096], uint64(i), uint64(i))
	}
}
