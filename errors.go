package accounting

import (
	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// Errors for errors.Is. Each is wrapped with what was got and what is allowed.
var (
	ErrBusy            = pipeline.ErrBusy          // Record, Counter: no room for a new key (CapacityRows) or stream (MaxStreams)
	ErrClosed          = pipeline.ErrClosed        // after Close
	ErrOrderOverflow   = pipeline.ErrOrderOverflow // a lane has no room
	ErrTimeout         = export.ErrTimeout         // Flush, Close: not drained in time; an export call past its deadline
	ErrPersistenceFull = wal.ErrPersistenceFull    // the WAL is at its caps, or the disk is full
	ErrWALCorrupt      = wal.ErrWALCorrupt         // the WAL holds damage that recovery does not pass over
	ErrWALDirUnusable  = wal.ErrWALDirUnusable     // the WAL directory is locked, foreign, or can't be written
	ErrSchema          = canon.ErrSchema           // bytes that are not a canonical slice; an unknown dimension
	ErrGap             = export.ErrGap             // a sink does not hold the slice before this one
	ErrConflict        = export.ErrConflict        // a sink holds another slice under the same stream and seq: an alarm, the lane halts
)

// Typed errors behind them, for errors.As.
type (
	OptionError    = pipeline.OptionError
	DimensionError = pipeline.DimensionError
	DrainError     = pipeline.DrainError
	SchemaError    = canon.SchemaError
	RefusedError   = export.RefusedError
	RemoteError    = export.RemoteError
)
