package adapter

import (
	"context"
	"errors"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// refusal is a problem and the reason of rejected_total that it counts under, "" for none.
type refusal struct {
	*problem.Problem
	reason string
}

func refuse(c problem.Code, reason, format string, args ...any) *refusal {
	f := &refusal{problem.New(c, format, args...), reason}
	if c == problem.Busy || c == problem.NotReady {
		f.RetryAfter = time.Second
	}
	return f
}

// refusalOf is how an error of what stands behind the adapter is answered.
func refusalOf(err error) *refusal {
	var refused *export.RefusedError
	switch {
	case errors.As(err, &refused):
		c := problem.Gap
		if errors.Is(err, export.ErrConflict) {
			c = problem.Conflict
		}
		f := refuse(c, "", "%v", err)
		f.Refusal = &problem.Refusal{ExpectedSeq: refused.ExpectedSeq}
		if refused.TipOK {
			f.Refusal.Tip = &problem.Tip{Seq: refused.TipSeq, B3: refused.TipDigest}
		}
		return f
	case errors.Is(err, export.ErrGap):
		return refuse(problem.Gap, "", "%v", err)
	case errors.Is(err, export.ErrConflict), errors.Is(err, ingress.ErrKeyReused):
		return refuse(problem.Conflict, "", "%v", err)
	case errors.Is(err, canon.ErrSchema):
		return refuse(problem.Schema, "", "%v", err)
	case errors.Is(err, ingress.ErrOrderOverflow):
		return refuse(problem.OrderOverflow, "order_overflow", "%v", err)
	case errors.Is(err, ingress.ErrFull):
		f := refuse(problem.NotReady, "wal_full", "%v", err)
		f.RetryAfter = 5 * time.Second
		return f
	case errors.Is(err, ingress.ErrBusy):
		return refuse(problem.Busy, "busy", "%v", err)
	case errors.Is(err, pipeline.ErrBusy): // the recorder counts the reason itself
		return refuse(problem.Busy, "", "%v", err)
	case errors.Is(err, token.ErrForbidden):
		return refuse(problem.Forbidden, "unauth", "%v", err)
	case errors.Is(err, token.ErrInvalid), errors.Is(err, token.ErrExpired):
		return refuse(problem.Unauth, "unauth", "%v", err)
	case errors.Is(err, ingress.ErrTipUnknown): // not the cause: the sink's address and what it said are for the log
		return refuse(problem.NotReady, "", "%v", ingress.ErrTipUnknown)
	case errors.Is(err, export.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return refuse(problem.NotReady, "", "no answer in time")
	case errors.Is(err, ingress.ErrFailed): // as above: it names files
		f := refuse(problem.NotReady, "", "%v", ingress.ErrFailed)
		f.RetryAfter = 15 * time.Second
		return f
	case errors.Is(err, ingress.ErrClosed), errors.Is(err, pipeline.ErrClosed):
		f := refuse(problem.NotReady, "", "%v", err)
		f.RetryAfter = 15 * time.Second
		return f
	}
	return refuse(problem.Internal, "", "an internal error")
}
