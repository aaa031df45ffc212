package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrNotLedger: the path holds something else, or no regular file.
	ErrNotLedger = errors.New("accounting/ledger: not a ledger file")
	// ErrInUse: another process, or another Open of this one, holds the file's lock.
	ErrInUse = errors.New("accounting/ledger: the file is in use")
	// ErrVersion: the file was written by a newer release in a format that this one does not know.
	ErrVersion = errors.New("accounting/ledger: newer format version")
	// ErrReadOnly: the ledger was opened read-only, or the file may not be written.
	ErrReadOnly = errors.New("accounting/ledger: read-only")
	// ErrCorrupt: stored bytes are not what was stored. *CorruptError says where.
	ErrCorrupt = errors.New("accounting/ledger: corrupt")
	// ErrClosed: the ledger has been closed.
	ErrClosed = errors.New("accounting/ledger: closed")
	// ErrFull: the file has reached Options.MaxBytes, or the disk is full. What is stored can be read; a later put tries again.
	ErrFull = errors.New("accounting/ledger: full")
	// ErrFailed: a commit failed and its outcome is unknown. The ledger takes nothing more until it is opened anew.
	ErrFailed = errors.New("accounting/ledger: failed; nothing more is taken until it is opened anew")
	// ErrNotFound: no slice is held under that stream and seq.
	ErrNotFound = errors.New("accounting/ledger: not found")
	// ErrBadQuery: a usage query that can't be answered as asked.
	ErrBadQuery = errors.New("accounting/ledger: bad query")
	// ErrQueryTooLarge: the answer has more groups than Query.MaxGroups.
	ErrQueryTooLarge = errors.New("accounting/ledger: the answer has too many groups")
)

// CorruptError says where the file does not hold what was stored. It is ErrCorrupt.
type CorruptError struct {
	Chunk  uint64 // 0: not in the log
	Offset uint32 // of the record in its chunk
	What   string // the rule that is broken, with got and want
	Err    error  // may be nil
}

func (e *CorruptError) Error() string {
	s := ErrCorrupt.Error()
	if e.Chunk != 0 {
		s += fmt.Sprintf(": chunk %d offset %d", e.Chunk, e.Offset)
	}
	s += ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
func (e *CorruptError) Unwrap() error        { return e.Err }

func corrupt(at place, what string, args ...any) error {
	return &CorruptError{Chunk: at.chunk, Offset: at.off, What: fmt.Sprintf(what, args...)}
}
