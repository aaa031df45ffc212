package wal

import "errors"

var (
	// ErrWALCorrupt: bytes that were durable are damaged. Open survives it (Recovered.Damage); Read and Verify return it.
	ErrWALCorrupt = errors.New("accounting/wal: corrupt")
	// ErrWALDirUnusable: the directory can't be used as it is: locked, of a newer format, of another window, not writable.
	ErrWALDirUnusable = errors.New("accounting/wal: directory unusable")
	// ErrPersistenceFull: a cap or the disk is reached. Certain: nothing of the commit was written.
	ErrPersistenceFull = errors.New("accounting/wal: full")
	// ErrNotWritten: the commit failed for another reason than room. Certain: nothing of it will ever be recovered.
	ErrNotWritten = errors.New("accounting/wal: not written")
	// ErrOutcomeUnknown: the commit may or may not be durable. Append the same commit again until it succeeds; nothing
	// else is accepted before (ErrUnsettled).
	ErrOutcomeUnknown = errors.New("accounting/wal: outcome unknown")
	// ErrUnsettled: another commit than the one whose outcome is unknown. Nothing was written.
	ErrUnsettled = errors.New("accounting/wal: another commit is unsettled")
	// ErrInvalid: a commit or argument that breaks the log's rules: a programmer's error. Nothing was written.
	ErrInvalid = errors.New("accounting/wal: invalid")
	// ErrClosed: the log is closed.
	ErrClosed = errors.New("accounting/wal: closed")
	// ErrGone: the entry was acked and is no longer kept.
	ErrGone = errors.New("accounting/wal: entry is gone")
)
