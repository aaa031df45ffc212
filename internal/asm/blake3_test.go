package asm

import (
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func TestSmoke(t *testing.T) {
	b := randomBytes(700*1024, 1)
	for _, v := range Variants() {
		for n := 0; n < len(b); n = n + 1 + n/20 {
			if v.Sum256(b[:n]) != blake3.Sum256(b[:n]) {
				t.Fatal(v.Name, n)
			}
		}
		var msgs [][]byte
		for n := 0; n < 8000; n += 37 {
			msgs = append(msgs, b[n:3*n])
		}
		dst := make([][32]byte, len(msgs))
		v.SumMany(dst, msgs)
		for i, m := range msgs {
			if dst[i] != blake3.Sum256(m) {
				t.Fatal(v.Name, "many", i, len(m))
			}
		}
	}
}
