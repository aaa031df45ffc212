//go:build amd64 && !purego

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

func compiled(p cpufeat.Path) bool { return p != cpufeat.NEON }

// width is the number of lanes of path p.
func width(p cpufeat.Path) int {
	switch p {
	case cpufeat.AVX512:
		return 16
	case cpufeat.AVX2:
		return 8
	}
	return 1
}

// widthFor is the number of lanes that hash needs for n.
func widthFor(p cpufeat.Path, n int) int {
	if p == cpufeat.AVX512 && n > 8 {
		return 16
	}
	if p == cpufeat.AVX512 || p == cpufeat.AVX2 {
		return 8
	}
	return n
}

// hash runs the kernel of path p over w lanes, where w is what widthFor said.
// The if-chain calls the kernels directly: see the package comment.
func hash(p cpufeat.Path, l *lanes, w int) {
	switch {
	case p == cpufeat.AVX512 && w == 16:
		hash16AVX512(l)
	case p == cpufeat.AVX512:
		hash8AVX512(l)
	case p == cpufeat.AVX2:
		hash8AVX2(l)
	default:
		hashGeneric(l, w)
	}
}

// short is the longest message that path p leaves to one-lane code.
func short(p cpufeat.Path) int {
	switch p {
	case cpufeat.AVX512:
		return shortAVX512
	case cpufeat.AVX2:
		return shortAVX2
	}
	return -1
}
