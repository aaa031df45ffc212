package ingress

import (
	"errors"

	"github.com/ron-accounting/ron-accounting/pipeline"
)

var (
	// ErrClosed: after Close.
	ErrClosed = errors.New("accounting/ingress: closed")
	// ErrFailed: a commit failed and its outcome is unknown; nothing more is taken until the queue is opened anew.
	ErrFailed = errors.New("accounting/ingress: the staging log failed")
	// ErrFull: MaxBytes or MaxSlices are staged, or the tenant's share of them is.
	ErrFull = errors.New("accounting/ingress: full")
	// ErrBusy: MaxStreams streams have staged slices, or MaxKeys keys are remembered.
	ErrBusy = errors.New("accounting/ingress: busy")
	// ErrTipUnknown: the stream is new here and the sink does not say where it stands.
	ErrTipUnknown = errors.New("accounting/ingress: the sink can't be asked for the stream's tip")
	// ErrKeyReused: an idempotency key came again with another batch.
	ErrKeyReused = errors.New("accounting/ingress: the idempotency key was used for another batch")
	// ErrInUse: another process, or another queue of this one, has the staging log open.
	ErrInUse = errors.New("accounting/ingress: the staging log is in use")
	// ErrCorrupt: staged bytes are not what was staged.
	ErrCorrupt = errors.New("accounting/ingress: corrupt")

	// ErrOrderOverflow: the stream's lane holds LaneCapacity slices.
	ErrOrderOverflow = pipeline.ErrOrderOverflow
)
