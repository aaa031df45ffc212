package lane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Class is what a failed attempt counts as.
type Class uint8

const (
	classNone      Class = iota
	RetryNetwork         // the sink was not reached, or the connection broke: outcome unknown
	RetryRemote5xx       // the sink answered that it can't now (5xx, 429)
	RetryTimeout         // no answer in time: outcome unknown
	Fail                 // nothing that passes by itself: refused, garbage, a panic, an unreadable body. Tried again all the same
	Halt                 // ErrGap or ErrConflict: counts as fail, and the lane halts

	classes = int(Halt) + 1
)

// String returns the class's value of the status label of accounting_exports_total.
func (c Class) String() string {
	switch c {
	case RetryNetwork:
		return "retry_network"
	case RetryRemote5xx:
		return "retry_remote_5xx"
	case RetryTimeout:
		return "retry_timeout"
	case Fail, Halt:
		return "fail"
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

var (
	// ErrClosed: the router is closed.
	ErrClosed = errors.New("accounting/lane: closed")
	// ErrFull: the lane holds LaneCapacity slices.
	ErrFull = errors.New("accounting/lane: lane is full")
	// ErrOrder: an item does not follow the last one of its lane.
	ErrOrder = errors.New("accounting/lane: out of order")
	// ErrAnswer: the exporter broke its contract: no ack and no error, or a wrong number of results. Counts as a failed attempt.
	ErrAnswer = errors.New("accounting/lane: the exporter's answer is not one")
	// ErrPanic: the exporter panicked. Counts as a failed attempt.
	ErrPanic = errors.New("accounting/lane: the exporter panicked")
	// ErrLoad: the slice's body could not be read. Counts as a failed attempt.
	ErrLoad = errors.New("accounting/lane: the slice's body could not be loaded")
	// ErrHalted: only halted lanes hold slices still.
	ErrHalted = errors.New("accounting/lane: halted")
)

// maxRetryAfter bounds what a sink may ask for: a broken one must not switch the export off for good.
const maxRetryAfter = 10 * time.Minute

// verdict is an error as the router acts on it.
type verdict struct {
	class      Class
	op         string
	status     int
	retryAfter time.Duration
	size       bool // a smaller batch may pass
}

// sound returns the exporter's error, or ErrAnswer in its place where looking at it panics: a typed nil is the usual one.
func sound(err error) (out error) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Errorf("%w: the error it gave, a %T, panics: %v", ErrAnswer, err, p)
		}
	}()
	_, _ = classify(err), err.Error()
	return err
}

// classify tells what an exporter's error means. Anything that is not known to be an alarm is tried again.
func classify(err error) verdict {
	v := verdict{class: Fail, op: "put"}
	if errors.Is(err, export.ErrGap) || errors.Is(err, export.ErrConflict) {
		v.class = Halt
		return v
	}
	var remote *export.RemoteError
	if errors.As(err, &remote) {
		if remote.Op != "" {
			v.op = remote.Op
		}
		v.status = remote.Status
		v.retryAfter = min(max(remote.RetryAfter, 0), maxRetryAfter)
	}
	var ne net.Error
	switch {
	case errors.Is(err, export.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout(),
		v.status == http.StatusRequestTimeout, v.status == http.StatusGatewayTimeout:
		v.class, v.size = RetryTimeout, true
	case v.status >= 500, v.status == http.StatusTooManyRequests:
		v.class = RetryRemote5xx
	case v.status != 0:
		v.size = v.status == http.StatusRequestEntityTooLarge
	case remote != nil, ne != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, context.Canceled):
		v.class = RetryNetwork
	case errors.Is(err, ErrAnswer), errors.Is(err, ErrPanic):
		v.size = true
	}
	return v
}
