//go:build arm64 && !purego

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

func compiled(p cpufeat.Path) bool { return p == cpufeat.Generic || p == cpufeat.NEON }

// width is the number of lanes of path p.
func width(p cpufeat.Path) int {
	if p == cpufeat.NEON {
		return 4
	}
	return 1
}

// widthFor is the number of lanes that hash needs for n.
func widthFor(p cpufeat.Path, n int) int {
	if p == cpufeat.NEON {
		return 4
	}
	return n
}

// hash runs the kernel of path p over w lanes, where w is what widthFor said.
func hash(p cpufeat.Path, l *lanes, w int) {
	if p == cpufeat.NEON {
		hash4NEON(l)
		return
	}
	hashGeneric(l, w)
}

// short is the longest message that path p leaves to one-lane code.
func short(p cpufeat.Path) int {
	if p == cpufeat.NEON {
		return shortNEON
	}
	return -1
}
