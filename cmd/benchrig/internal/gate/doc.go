// Package gate decides whether a change made this library slower, on a machine that is not quiet.
//
// # Method
//
// Both sides are built: the base from a git worktree of a REF (or its values are read from a recorded file), the change from the
// working tree. Then, in each of at least ten rounds, the base is measured, the base again, and the change, in an order that
// rotates from round to round, so that what the machine does to one it does to the others. A sample of a benchmark is the fastest of
// twenty chunks, between which the other benchmarks have theirs: what else runs can only add to a chunk. What the base shows against itself (A/A) is noise, and is judged
// first. A row fails if all of this holds:
//
//   - its median is worse by more than max(limit, noise), noise being the larger of the A/A difference and the 95th percentile of the
//     differences between random halves of the base's samples;
//   - the difference from all samples of the base is significant by benchmath's Mann-Whitney U test at 1 % (Alpha);
//   - two more measurements, made only of the rows that failed, say the same, by their medians and by the test over
//     all samples so far.
//
// # Limits
//
// time/op 10 %, export p95 10 %, CPU/op 15 %, RSS 20 %. Rows whose working set leaves the cache, or that wait for a disk or a
// timer, are reported and not gated: they move by 30 % without any change.
//
// # Self-test
//
// A gate that can't fail is worse than none. SelfTestRun measures the working tree against itself, which must pass, and against itself
// with RON_ACC_BENCH_EXTRA=15 in the environment, with which benchmarks do 15 % more work an operation than they
// say, which must fail.
package gate
