package asm

import (
	"fmt"
	"testing"

	"github.com/zeebo/blake3"
)

// benchPaths are the paths of this build and the peer, measured in the same run.
func benchPaths() []Variant {
	vs := Variants()
	zeebo := Variant{Name: "zeebo", Sum256: blake3.Sum256, SumMany: func(dst [][32]byte, msgs [][]byte) {
		for i, m := range msgs {
			dst[i] = blake3.Sum256(m)
		}
	}}
	return append(vs, zeebo)
}

func BenchmarkDigest(b *testing.B) {
	for _, n := range []int{64, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 38 << 10, 76 << 10, 152 << 10, 1 << 20} {
		for _, v := range benchPaths() {
			b.Run(fmt.Sprintf("path=%s/bytes=%d", v.Name, n), func(b *testing.B) {
				m := pattern(n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					v.Sum256(m)
				}
			})
		}
	}
}

// BenchmarkDigestMany hashes many messages in one call; bytes is the length of
// each, of which the real ones vary by a tenth.
func BenchmarkDigestMany(b *testing.B) {
	for _, c := range []struct{ msgs, bytes int }{{3000, 4096}, {3000, 512}, {200, 16 << 10}, {16, 4096}} {
		for _, v := range benchPaths() {
			b.Run(fmt.Sprintf("path=%s/msgs=%d/bytes=%d", v.Name, c.msgs, c.bytes), func(b *testing.B) {
				buf := randomBytes(c.msgs*c.bytes*11/10, 3)
				msgs, total := make([][]byte, c.msgs), 0
				for i := range msgs {
					n := c.bytes*9/10 + i*7919%(c.bytes/5)
					msgs[i] = buf[total : total+n]
					total += n
				}
				dst := make([][32]byte, c.msgs)
				b.SetBytes(int64(total))
				b.ReportAllocs()
				for b.Loop() {
					v.SumMany(dst, msgs)
				}
			})
		}
	}
}
