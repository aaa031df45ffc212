// Package asm has the module's hand-shaped machine code: BLAKE3 kernels that
// hash several independent chunks, or tree nodes, side by side in the lanes of
// vector registers, and the flat driver that feeds them. Beside them are
// kernels that encode package canon's rows, eight at a time (rows_amd64.go), and
// that read the counters of package shardmap (scan.go).
//
// # Why lanes
//
// BLAKE3 cuts a message into chunks of 1024 bytes, hashes each chunk alone and
// joins the results pairwise in a binary tree. One compression is a chain of
// dependent additions, so one chunk can't use the width of the machine; 8 or 16
// chunks in lanes can. A slice of a few KiB has too few chunks to fill them,
// which is why SumMany fills the lanes with the chunks of many messages, and
// then with tree nodes of many messages.
//
// # Paths
//
//	avx512   amd64, 16 lanes, and 8 lanes where 8 suffice   generated, zblake3_avx512_amd64.s
//	avx2     amd64, 8 lanes                                 generated, zblake3_avx2_amd64.s
//	neon     arm64, 4 lanes                                 generated, zblake3_neon_arm64.s
//	sse41    amd64, github.com/zeebo/blake3                 for CPUs without AVX2
//	generic  everywhere, one lane in Go                     the reference of all others
//
// The row encoders of avx512 come twice: zrows_vbmi2_amd64.s needs what Ice Lake
// and Zen 4 brought, and takes half the time of zrows_avx512_amd64.s.
//
// The path is cpufeat's; all give the same bytes. The kernels are chosen by
// comparing a value, never through a function variable: an indirect call would
// make the message, and the driver's scratch memory, escape to the heap.
//
// # Contracts
//
//   - Messages may have any length including 0 and any alignment. No byte beyond
//     a message's end is read, so it may end where the address space does.
//   - Messages may alias each other. dst of SumMany must not overlap a message.
//   - Nothing is allocated, no goroutine is started, nothing is retained.
//     SumMany needs about 24 KiB of stack.
//   - All functions may be called concurrently.
//
// Build tag purego leaves only the generic path.
package asm
