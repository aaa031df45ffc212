// Package gate decides whether a change made this library slower, on a machine that is not quiet.
//
// # Method
//
// Both sides are built into test binaries: the base from a git worktree of a REF, or a file of recorded values, the change from the
// working tree. First the base is measured against itself (A/A): what such a comparison shows is noise. Then base
// and change are measured, row by row in turn, at least ten times each, the order alternating, so that what the machine does to one
// side it does to the other. A row fails if all of this holds:
//
//   - its median is worse by more than max(limit, noise), noise being the larger of the A/A difference and the 95th percentile of the
//     differences between random halves of the base's own samples;
//   - the difference is significant by benchmath's Mann-Whitney U test at 1 % (Alpha);
//   - a second measurement, twice as long, made only of the rows that failed, says the same.
//
// # Limits
//
// time/op 10 %, export p95 10 %, CPU/op 15 %, RSS 20 %. Rows whose working set leaves the cache, that wait for a disk or a
// timer, are reported and not gated: they move by 30 % without any change.
//
// # Self-test
//
// A gate that can't fail is worse than none. SelfTest measures the working tree against itself, which must pass, and against itself with
// the environment variable RON_ACC_BENCH_EXTRA=15, with which the benchmarks do 15 % more work an operation than
// they say, which must fail.
package gate
