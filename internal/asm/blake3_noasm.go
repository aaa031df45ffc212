//go:build (!amd64 && !arm64) || purego

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

func compiled(p cpufeat.Path) bool { return p == cpufeat.Generic }

// width is the number of lanes of path p.
func width(cpufeat.Path) int { return 1 }

// widthFor is the number of lanes that hash needs for n.
func widthFor(_ cpufeat.Path, n int) int { return n }

func hash(_ cpufeat.Path, l *lanes, w int) { hashGeneric(l, w) }

func short(cpufeat.Path) int { return -1 }
