package ingress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

const (
	firstWait = time.Second     // how long Open waits for the sink's first answer
	askEvery  = time.Second     // how often a sink that gave none is asked again
	askFor    = 5 * time.Second // how long each time
)

// ask learns from the sink where a stream stands.
func (q *Queue) ask(ctx context.Context, name export.Stream) (*tip, error) {
	if q.tipper == nil {
		return &tip{}, nil
	}
	t := &tip{}
	var err error
	t.seq, t.digest, t.ok, err = q.tipper.Tip(ctx, name)
	if !errors.Is(err, context.Canceled) { // a client that has gone says nothing of the sink
		q.heard(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTipUnknown, err)
	}
	return t, nil
}

// heard books whether the sink answers, and tells when that changes.
func (q *Queue) heard(err error) {
	q.mu.Lock()
	changed := q.mute != (err != nil)
	q.mute = err != nil
	q.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		q.log.Warn("the sink can't be asked for a stream's tip: slices of streams that are new here are refused", "sink", q.o.Sink.Name, "err", err)
		q.m.ReadyMissing.WithLabelValues(string(pipeline.ExporterOK)).Inc()
		select {
		case q.unheard <- struct{}{}:
		default:
		}
	default:
		q.log.Info("the sink can be asked again", "sink", q.o.Sink.Name)
	}
}

// listen asks a mute sink until it answers, so that readiness knows of a sink that is away before a slice needs it, and when it is back though no
// client comes any more. The first time is at the start.
func (q *Queue) listen(ctx context.Context, asked func()) {
	for {
		c, cancel := context.WithTimeout(ctx, askFor)
		_, err := q.ask(c, export.Stream{Dimension: "bytes"}) // a stream that nobody has
		cancel()
		asked()
		again, unheard := (<-chan time.Time)(nil), q.unheard
		if err != nil {
			again, unheard = time.After(askEvery), nil
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-unheard:
		}
	}
}

// startListening starts listen and gives the sink a moment for its first answer.
func (q *Queue) startListening() {
	ctx, stop := context.WithCancel(context.Background())
	first, done := make(chan struct{}), make(chan struct{})
	q.stopListening = func(until context.Context) {
		stop()
		select {
		case <-done:
		case <-until.Done(): // a sink that ignores its context must not hold the host
		}
	}
	go func() {
		defer close(done)
		q.listen(ctx, sync.OnceFunc(func() { close(first) }))
	}()
	select {
	case <-first:
	case <-time.After(firstWait):
		q.heard(fmt.Errorf("%w: no answer in %v", export.ErrTimeout, firstWait))
	}
}
