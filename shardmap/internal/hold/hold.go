//go:build linux && amd64

// Package hold has one function in assembly that takes long: with it the test shows what the direct path of the maps
// relies on (shardmap/table/direct.go), that a stop of the world waits for assembly.
package hold

// cycles sets *in to 1, waits for n cycles of the time stamp counter, sets *out to 1 and returns.
//
//go:noescape
func cycles(n uint64, in, out *uint32)
