package pprof

import "errors"

// Errors of this package, for errors.Is. Each is wrapped with what was got and what was wanted.
var (
	// ErrOptions: options that make no sense together, named one by one.
	ErrOptions = errors.New("accounting/pprof: unusable options")
	// ErrKind: a capture kind that this package does not know.
	ErrKind = errors.New("accounting/pprof: unknown kind of capture")
	// ErrInUse: the runtime's CPU profiler, tracer or flight recorder is taken by someone else.
	ErrInUse = errors.New("accounting/pprof: the runtime's profiler is in use")
	// ErrLimit: a size or count bound was reached; what was written up to it stays.
	ErrLimit = errors.New("accounting/pprof: bound reached")
	// ErrProfile: bytes that are no profile, or a profile without what was asked of it.
	ErrProfile = errors.New("accounting/pprof: not a usable profile")
	// ErrStopped: the capture or flight recorder was stopped before.
	ErrStopped = errors.New("accounting/pprof: stopped already")
)
