package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// chain is what is known of a chain's tip. The broker may be further on, never behind.
type chain struct {
	known  bool
	held   bool // it has a tip
	seq    uint64
	digest canon.Digest
	part   string
	last   uint64 // the tip's sequence in its part
}

func sortNewestFirst(names []string) {
	slices.Sort(names)
	slices.Reverse(names)
}

// Tip implements export.Tipper: it asks the broker.
func (e *Exporter) Tip(ctx context.Context, s export.Stream) (seq uint64, d canon.Digest, ok bool, err error) {
	err = e.greet(ctx)
	var c chain
	if err == nil {
		c, err = e.readTip(ctx, s)
	}
	if err != nil {
		return 0, d, false, e.classify(ctx, "handshake", err)
	}
	return c.seq, c.digest, c.held, nil
}

// readTip reads a chain's last message, from the newest month that has one.
func (e *Exporter) readTip(ctx context.Context, s export.Stream) (chain, error) {
	if ctx.Err() != nil {
		return chain{}, ctx.Err()
	}
	names, err := e.list(ctx)
	if err != nil {
		return chain{}, err
	}
	return e.tipIn(ctx, names, s)
}

// tipIn is readTip with the list of parts at hand.
func (e *Exporter) tipIn(ctx context.Context, names []string, s export.Stream) (chain, error) {
	own := partition(s)
	for _, n := range names {
		part := strings.TrimPrefix(n, namePrefix)
		if !strings.HasSuffix(part, own) {
			continue
		}
		st, err := e.part(ctx, part, false)
		if err != nil {
			return chain{}, err
		}
		if st == nil {
			continue
		}
		m, err := st.GetLastMsgForSubject(ctx, subject(s, part))
		if errors.Is(err, js.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return chain{}, err
		}
		seq, d, err := place(m.Header)
		if err != nil {
			return chain{}, fmt.Errorf("%s: %w", m.Subject, err)
		}
		return chain{known: true, held: true, seq: seq, digest: d, part: part, last: m.Sequence}, nil
	}
	return chain{known: true}, nil
}

// place reads a message's headers.
func place(h nats.Header) (seq uint64, d canon.Digest, err error) {
	if seq, err = strconv.ParseUint(h.Get(headerSeq), 10, 64); err == nil {
		d, err = canon.ParseDigest(h.Get(headerB3))
	}
	if err != nil {
		err = fmt.Errorf("a message without the headers of a slice: %w", err)
	}
	return seq, d, err
}

// find looks for a slice in its part, between the messages of its subject.
func (e *Exporter) find(ctx context.Context, s export.Stream, seq uint64, d canon.Digest, part string, hint *uint64) (bool, error) {
	st, err := e.part(ctx, part, false)
	if err != nil || st == nil {
		return false, err
	}
	subj := subject(s, part)
	if *hint != 0 { // the slice before it was found just now
		m, err := st.GetMsg(ctx, *hint+1, js.WithGetMsgSubject(subj))
		if err == nil {
			if got, gd, perr := place(m.Header); perr == nil && got == seq {
				*hint = m.Sequence
				return gd == d, nil
			}
		}
	}
	last, err := st.GetLastMsgForSubject(ctx, subj)
	if errors.Is(err, js.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for lo, hi := uint64(1), last.Sequence; lo <= hi; {
		mid := lo + (hi-lo)/2
		m, err := st.GetMsg(ctx, mid, js.WithGetMsgSubject(subj)) // the first at or behind mid
		if err != nil {
			return false, err
		}
		got, gd, err := place(m.Header)
		if err != nil {
			return false, err
		}
		switch {
		case got == seq:
			*hint = m.Sequence
			return gd == d, nil
		case got < seq:
			lo = m.Sequence + 1
		default:
			hi = mid - 1
		}
	}
	return false, nil
}

// plain says what the client means by its buffer, which is switched off: it has no connection.
func plain(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("%w: the connection is lost, and tried again", nats.ErrDisconnected)
	}
	return err
}

// classify gives an error its kind, and says what else the server has told: it answers a publication without permission by nothing at all.
func (e *Exporter) classify(ctx context.Context, op string, err error) error {
	err = classify(ctx, op, plain(err))
	if told := e.told.Load(); told != nil {
		return fmt.Errorf("%w: %w", err, *told)
	}
	return err
}

func classify(ctx context.Context, op string, err error) error {
	var api *js.APIError
	var remote *export.RemoteError
	switch {
	case errors.As(err, &remote), errors.Is(err, export.ErrTimeout):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("accounting/jetstream: %s: %w", op, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("%w: jetstream: %s: %w", export.ErrTimeout, op, ctx.Err())
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, js.ErrAsyncPublishTimeout):
		return fmt.Errorf("%w: jetstream: %s: %w", export.ErrTimeout, op, err)
	case errors.As(err, &api):
		return &export.RemoteError{Op: op, Status: max(api.Code, 500), Err: err}
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, js.ErrNoStreamResponse):
		return &export.RemoteError{Op: op, Status: 503, RetryAfter: 500 * time.Millisecond, Err: err}
	}
	return &export.RemoteError{Op: op, Err: err}
}
