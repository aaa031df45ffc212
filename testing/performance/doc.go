// Package performance compares this library with its peers, in one binary and one run.
//
// It is a module of its own, so that the peers never enter a user's go.sum. The benchmarks here are the
// seed's skeletons (record hot, seal 2k) and the comparisons in Go's format; cmd/compare interleaves repetitions and prints tables
// with ratios:
//
//	go run ./cmd/compare record          # what `make bench-record` runs
//	go run ./cmd/compare growth          # Record after many windows, tenants, evictions
//	go run ./cmd/compare -full record    # all peers at 2M keys too: needs some 10 GB
//	go run ./cmd/compare seal encode digest wal
//	go test -run '^$' -bench .           # for benchstat
//
// The official C library of BLAKE3 is among the digests where it is linked: with Debian's libblake3-dev by -tags officialc; where that
// package does not exist yet, librust-blake3-dev has the same C sources (compile blake3*.c but for the intrinsics, and *_unix.S, into
// libblake3.a) and CGO_CFLAGS and CGO_LDFLAGS say where they are.
//
// baselines/ holds the gate's baselines, {host}-{cpu}/{commit}.json (`benchrig gate`).
package performance
