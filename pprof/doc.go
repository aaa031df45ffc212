// Package pprof captures what a running meter costs and draws it.
//
// Three things, each usable alone:
//
//   - Capture: Start takes CPU, heap, mutex, block, goroutine and fgprof profiles and execution traces
//     of this process into one directory, Stop completes the files and writes capture.json, which says
//     what was taken, where and when. The files are the usual pprof and trace formats.
//   - Flight: the runtime's trace flight recorder, which costs little and keeps the last seconds. When
//     a pipeline stage takes longer than its bound, the window is written to a file.
//   - Graph: a profile as a flame graph. WriteSVG and WriteHTML make one self-contained file each,
//     with search, zoom and tooltips, that loads nothing from the network; Diff compares two captures;
//     WriteFolded writes the "a;b;c 12" lines that other tools read.
//
// Goroutines of the pipeline carry the label "stage" (package pprof/stage): record, seal, wal, export.
//
// # Bounds
//
// Every file has a size bound (Options.MaxBytes), reading a profile is bounded before and after
// decompression, a graph has at most MaxNodes frames (narrow ones are merged into "(n narrow frames)", so
// that widths still add up), a flight recorder writes at most MaxDumps files, one at a time, not
// more often than Cooldown.
//
// # What is process-wide
//
// The Go runtime has one CPU profiler, one tracer, one flight recorder and one mutex and block rate a
// process. This package keeps no state of its own: where the runtime's is taken already, the error is
// ErrInUse. Stop sets the mutex fraction back to what it was and the block rate, which the
// runtime does not let one read, to 0.
package pprof
