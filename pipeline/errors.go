package pipeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

var (
	// ErrBusy: the key or its stream is new and there is no room for it (CapacityRows, MaxStreams). Nothing was counted;
	// the units stand under state="rejected". Existing keys are never refused.
	ErrBusy = errors.New("accounting: busy: no room for a new key")
	// ErrClosed: the recorder is closed. Nothing was counted.
	ErrClosed = errors.New("accounting: closed")
	// ErrOrderOverflow: a stream's lane or the pending queue has no room for another slice.
	ErrOrderOverflow = errors.New("accounting: order overflow: no room in the lane")
)

// OptionError is one fault of Options: what was got and what is allowed. Open and New join all they find.
type OptionError struct {
	Field string
	Got   any
	Want  string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("accounting: Options.%s: got %v, want %s", e.Field, e.Got, e.Want)
}

// DimensionError is ErrSchema: Record was given a dimension that Options does not name.
type DimensionError struct {
	Got   Dimension
	Names []string
}

func (e *DimensionError) Error() string {
	return fmt.Sprintf("accounting: unknown dimension %d: want 0 to %d %v", e.Got, len(e.Names)-1, e.Names)
}

func (e *DimensionError) Unwrap() error { return canon.ErrSchema }

// DrainError says what was still pending when a Flush or Close ran out of time. It is ErrTimeout.
// With a WAL the pending slices are kept there and exported after the next Open; without one they are lost with the process.
type DrainError struct {
	Slices, Streams int
	Units           map[string]uint64 // pending units by dimension name
	Unsealed        map[string]uint64 // counted, and in no slice: a disk or a chain that waits did not let them
	Kept            bool              // the counter file or a checkpoint keeps what is unsealed; without one it is lost with the process
	Durable         bool              // the slices are in the WAL
	After           time.Duration
	Cause           error // the last export error, where there was one
}

func (e *DrainError) Error() string {
	where := "in memory only"
	if e.Durable {
		where = "kept in the WAL"
	}
	s := fmt.Sprintf("accounting: not drained after %v: %d slices of %d streams pending, %s; units %v", e.After, e.Slices, e.Streams, where, e.Units)
	if len(e.Unsealed) > 0 {
		kept := "lost with the process"
		if e.Kept {
			kept = "kept for the next Open"
		}
		s += fmt.Sprintf("; not sealed, and %s: %v", kept, e.Unsealed)
	}
	if e.Cause != nil {
		s += ": last export error: " + e.Cause.Error()
	}
	return s
}

func (e *DrainError) Unwrap() []error {
	if e.Cause != nil {
		return []error{export.ErrTimeout, e.Cause}
	}
	return []error{export.ErrTimeout}
}
