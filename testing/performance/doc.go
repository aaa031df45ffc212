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
// baselines/ holds the gate's baselines, {host}-{cpu}/{commit}.json (`benchrig gate`).
package performance
