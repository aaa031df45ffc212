// Package bench holds the micro-benchmarks as a program runs them: record, seal, encode, digest, decode, the idempotent put, the
// embedded ledger's put. They go through public interfaces only, so that the same binary measures what a user links, and
// two builds of it can be compared (package gate).
//
// A case is measured in chunks of a twentieth of the asked time each. ns/op is the mean over all of them, best-ns/op the
// fastest chunk: what other programs take from a chunk can only make it slower, so the fastest says most about the code.
//
// With RON_ACC_BENCH_EXTRA=15 every case does 15 % more operations than it says. That is a slowdown that the gate must
// find; it is for the gate's self-test only.
package bench
