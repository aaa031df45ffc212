// Package export is the seam between the pipeline and the ledgers that it exports to: what a sink must implement,
// what it answers, and the errors by which the lanes tell a retry from an alarm. It holds no sink of its own;
// each sink is a package below this one.
package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Stream names one chain: a writer's slices of one tenant and one dimension.
type Stream struct {
	Writer, Tenant canon.ID
	Dimension      string
}

// StreamOf returns the stream that a slice belongs to.
func StreamOf(h canon.Head) Stream {
	return Stream{Writer: h.Writer, Tenant: h.Tenant, Dimension: h.Dimension}
}

// String is a short form for logs: eight digits of each id.
func (s Stream) String() string {
	return fmt.Sprintf("%.8s/%.8s/%s", s.Writer.String(), s.Tenant.String(), s.Dimension)
}

// Ack is a sink's answer to a slice that it holds durably. The zero value is no answer.
type Ack uint8

const (
	AckOK        Ack = iota + 1 // stored now
	AckDuplicate                // held already, with the same digest
)

func (a Ack) String() string {
	switch a {
	case AckOK:
		return "ok"
	case AckDuplicate:
		return "dup"
	}
	return fmt.Sprintf("Ack(%d)", uint8(a))
}

// Exporter puts one slice into a ledger. Put is idempotent: the same slice again is AckDuplicate. It may be called from
// several goroutines, never at once for one stream. The slice's bytes are valid until it returns.
// An error that is ErrGap or ErrConflict halts the stream's lane; any other is retried.
type Exporter interface {
	Put(context.Context, canon.SealedSlice) (Ack, error)
}

// Result is the answer to one slice of a batch: Ack, or Err.
type Result struct {
	Ack Ack
	Err error
}

// BatchExporter is preferred over Exporter where a sink implements it. A batch holds at most one run of consecutive seqs
// of a stream, in order; runs of many streams may follow one another. It returns one Result a slice, in the batch's order;
// a slice after a failed one of its own stream fails too.
type BatchExporter interface {
	Exporter
	PutBatch(context.Context, []canon.SealedSlice) []Result
}

// Tipper is implemented by sinks that can say which slice of a stream they hold last; ok is false where they hold none.
type Tipper interface {
	Tip(context.Context, Stream) (seq uint64, d canon.Digest, ok bool, err error)
}

// Sink is one destination. A slice is done when all Required sinks have acked it.
type Sink struct {
	Name     string // [a-z][a-z0-9_-]{0,31}, unique; its cursor is kept under this name
	Exporter Exporter
	Required bool
}

var (
	// ErrGap: the sink's tip is below the slice's predecessor (or beside it); carried by *RefusedError where the sink said more.
	ErrGap = errors.New("accounting/export: gap: the sink does not hold the slice before this one")
	// ErrConflict: the sink holds another slice under the same stream and seq. An alarm; the lane halts.
	ErrConflict = errors.New("accounting/export: conflict: the sink holds another slice under this stream and seq")
	// ErrTimeout: an operation did not finish within its deadline; its outcome is unknown and it is tried again.
	ErrTimeout = errors.New("accounting/export: timeout")
)

// RefusedError is a sink's refusal of a slice by its place in the chain. It is ErrGap or ErrConflict by Kind.
type RefusedError struct {
	Kind        error // ErrGap or ErrConflict
	Stream      Stream
	Seq         uint64 // of the refused slice
	ExpectedSeq uint64 // what the sink would take next
	TipOK       bool   // the sink holds something of the stream
	TipSeq      uint64
	TipDigest   canon.Digest
}

func (e *RefusedError) Error() string {
	tip := "none"
	if e.TipOK {
		tip = fmt.Sprintf("seq %d %.15s", e.TipSeq, e.TipDigest)
	}
	return fmt.Sprintf("%v: stream %v: got seq %d, want %d, tip %s", e.Kind, e.Stream, e.Seq, e.ExpectedSeq, tip)
}

func (e *RefusedError) Unwrap() error { return e.Kind }

// RemoteError is a sink's failure that may pass: the lane tries again, after RetryAfter where the sink asked for it.
type RemoteError struct {
	Op         string        // "put" or "handshake"
	Status     int           // HTTP status or its equal; 0 where the network failed before an answer
	RetryAfter time.Duration // 0: the lane's own backoff
	Err        error
}

func (e *RemoteError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("accounting/export: %s: remote answered %d: %v", e.Op, e.Status, e.Err)
	}
	return fmt.Sprintf("accounting/export: %s: %v", e.Op, e.Err)
}

func (e *RemoteError) Unwrap() error { return e.Err }
