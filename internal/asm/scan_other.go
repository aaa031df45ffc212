//go:build !amd64 || purego || race

package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

// There is no fast way here, and under the race detector none that it would see.

func (s *Scan) vector(cpufeat.Path) (words int) { return 0 }

func gatherVector(p cpufeat.Path, dst, from []uint64, rows []uint32) (done, zeros int) { return 0, 0 }

// Prefetch, PrefetchValue and PrefetchWords are hints that are not given here: see scan_amd64.go.

func Prefetch[T any](s []T, bytes int) {}

func PrefetchValue[T any](v *T) {}

func PrefetchWords(from []uint64, rows []uint32, most int) {}
