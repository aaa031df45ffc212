package asm

import (
	"github.com/ron-accounting/ron-accounting/internal/cpufeat"

	"github.com/zeebo/blake3"
)

// Sum256 returns the BLAKE3-256 digest of b on the selected path.
func Sum256(b []byte) [32]byte { return sumPath(cpufeat.Selected(), b) }

// SumMany writes the digest of msgs[i] to dst[i] for every i < len(msgs), on the
// selected path. dst shorter than msgs is a programmer's error and panics before
// anything is written.
func SumMany[D ~[32]byte](dst []D, msgs [][]byte) {
	manyPath(cpufeat.Selected(), digests(dst), msgs)
}

func sumPath(p cpufeat.Path, b []byte) (d [32]byte) {
	if p == cpufeat.SSE41 || len(b) <= short(p) && p > cpufeat.NEON {
		return blake3.Sum256(b)
	}
	if len(b) <= short(p) {
		p = cpufeat.Generic
	}
	sum(p, &d, b)
	return d
}

func manyPath(p cpufeat.Path, dst [][32]byte, msgs [][]byte) {
	dst = dst[:len(msgs)]
	if p == cpufeat.SSE41 || len(msgs) == 1 {
		for i, m := range msgs {
			dst[i] = sumPath(p, m)
		}
		return
	}
	sumMany(p, dst, msgs)
}

// Variant is one path, to be compared and measured.
type Variant struct {
	Name    string
	Path    cpufeat.Path
	Sum256  func([]byte) [32]byte // as the package's, on this path
	SumMany func([][32]byte, [][]byte)
	Kernel  func([]byte) [32]byte // Sum256 that takes no shortcut for short messages
	Short   int                   // the longest message that Sum256 leaves to one-lane code
}

var paths = [...]cpufeat.Path{cpufeat.Generic, cpufeat.SSE41, cpufeat.NEON, cpufeat.AVX2, cpufeat.AVX512}

// Variants returns the paths that can run in this process, generic first.
// It is for tests and benchmarks.
func Variants() []Variant {
	var vs []Variant
	for _, p := range paths {
		if cpufeat.Available(p) {
			vs = append(vs, Variant{
				Name:    p.String(),
				Path:    p,
				Sum256:  func(b []byte) [32]byte { return sumPath(p, b) },
				SumMany: func(dst [][32]byte, msgs [][]byte) { manyPath(p, dst, msgs) },
				Kernel:  func(b []byte) (d [32]byte) { sum(p, &d, b); return d },
				Short:   short(p),
			})
		}
	}
	return vs
}

func init() {
	for _, p := range paths {
		if compiled(p) {
			cpufeat.Register("asm", p.String(), p)
		}
	}
}
