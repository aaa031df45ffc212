package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Puts that arrive while a commit is under way wait together and share the next one. The committing goroutine is started
// when there is something to commit and exits when there is nothing more, so an idle ledger has none.

// groupBytes bounds what is gathered into one transaction; a request that is larger by itself is one transaction still.
const groupBytes = 8 << 20

// request is one call's slices. The leader owns it from when it leaves the queue until done is closed.
type request struct {
	slices  []canon.SealedSlice
	results []export.Result
	bytes   int
	copied  chan struct{} // closed: the slices' bytes are not read any more
	done    chan struct{} // closed: results are final
}

func (r *request) fail(err error) {
	for i := range r.results {
		r.results[i] = export.Result{Err: err}
	}
	close(r.copied)
	close(r.done)
}

// Put implements export.Exporter: it returns when the slice is on the disk, or is a duplicate of one that is, or is
// refused (*export.RefusedError; canon.ErrSchema where its times run back), or can't be stored now (ErrFull, ErrFailed,
// ErrReadOnly, ErrClosed, ErrCorrupt, or the context's error: then the outcome is unknown, and putting it again tells).
func (l *Ledger) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := l.PutBatch(ctx, []canon.SealedSlice{s})[0]
	return r.Ack, r.Err
}

// PutBatch implements export.BatchExporter: one transaction for all, and a result for each as Put would have given it in turn.
func (l *Ledger) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	r := &request{slices: slices, results: make([]export.Result, len(slices)), copied: make(chan struct{}), done: make(chan struct{})}
	if len(slices) == 0 {
		return r.results
	}
	for i := range slices {
		r.bytes += len(slices[i].Bytes())
	}
	if err := l.enqueue(ctx, r); err != nil {
		r.fail(err)
		return r.results
	}
	select {
	case <-r.done:
		return r.results
	case <-ctx.Done():
	}
	if !l.withdraw(r) {
		<-r.copied // the leader may still read the slices, which are the caller's again when this returns
		select {
		case <-r.done:
			return r.results
		default:
		}
	}
	given := make([]export.Result, len(slices)) // r.results is the leader's
	for i := range given {
		given[i].Err = interrupted(ctx, "put")
	}
	return given
}

// interrupted is the error of a call whose context ended: ErrTimeout after its deadline.
func interrupted(ctx context.Context, op string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: ledger: %s: %w", export.ErrTimeout, op, ctx.Err())
	}
	return fmt.Errorf("accounting/ledger: %s: %w", op, ctx.Err())
}

func (l *Ledger) enqueue(ctx context.Context, r *request) error {
	if ctx.Err() != nil {
		return interrupted(ctx, "put")
	}
	if l.o.ReadOnly {
		return fmt.Errorf("%w: %s", ErrReadOnly, l.path)
	}
	if err := l.health(); err != nil {
		return err
	}
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.queue = append(l.queue, r)
	if !l.leading {
		l.leading = true
		l.leader.Add(1)
		go l.lead()
	}
	return nil
}

// withdraw takes r from the queue; false where the leader has it already.
func (l *Ledger) withdraw(r *request) bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	for i := range l.queue {
		if l.queue[i] == r {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			return true
		}
	}
	return false
}

func (l *Ledger) lead() {
	defer l.leader.Done()
	for {
		l.queueMu.Lock()
		n, bytes := 0, 0
		for n < len(l.queue) && (n == 0 || bytes+l.queue[n].bytes <= groupBytes) {
			bytes += l.queue[n].bytes
			n++
		}
		if n == 0 {
			l.leading, l.queue = false, nil
			l.queueMu.Unlock()
			return
		}
		group := l.queue[:n:n]
		l.queue = l.queue[n:]
		l.queueMu.Unlock()
		l.commit(group)
	}
}

// health returns why the ledger takes nothing, or nil.
func (l *Ledger) health() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// commit takes a group of requests in one transaction. It closes both channels of each.
func (l *Ledger) commit(group []*request) {
	if err := l.health(); err != nil {
		for _, r := range group {
			r.fail(err)
		}
		return
	}
	w := &l.work
	var tx *bbolt.Tx
	copied := false
	err := guard(func() (err error) {
		if tx, err = l.db.Begin(true); err != nil {
			return err
		}
		if err := w.takeAll(tx, group); err != nil {
			return err
		}
		for _, r := range group {
			close(r.copied)
		}
		copied = true
		if len(w.chunks) == 0 {
			return errNothingToDo
		}
		return w.store()
	})
	switch {
	case err == nil:
		err = l.finish(tx)
	case tx != nil:
		if rerr := guard(tx.Rollback); rerr != nil && !errors.Is(rerr, berrors.ErrTxClosed) {
			err = l.breakDown(errors.Join(err, rerr), true)
		}
	}
	switch {
	case err == nil:
		w.publish()
	case errors.Is(err, errNothingToDo): // duplicates and refusals only
	case !copied && len(group) > 1 && errors.Is(err, ErrCorrupt):
		for _, r := range group { // a damaged page fails only the request that needs it
			l.commit([]*request{r})
		}
		return
	default:
		w.unanswer(group, err)
	}
	for _, r := range group {
		if !copied {
			close(r.copied)
		}
		close(r.done)
	}
}

// finish commits a transaction. An error means that nothing of it is held, or, with ErrFailed, that this is not known.
func (l *Ledger) finish(tx *bbolt.Tx) error {
	err := guard(func() error { return l.commitTx(tx) })
	if err == nil {
		return nil
	}
	// bbolt has rolled back, except where it panicked half way.
	if rerr := guard(tx.Rollback); rerr != nil && !errors.Is(rerr, berrors.ErrTxClosed) {
		return l.breakDown(errors.Join(err, rerr), true)
	}
	// A write that found no room was not followed by a sync of the meta page: the file holds what it held, and may be tried
	// again. Any other failure may be that of a sync, after which the page cache is not what the disk holds.
	var path *os.PathError
	if errors.Is(err, berrors.ErrMaxSizeReached) || errors.As(err, &path) && path.Op == "write" &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return l.breakDown(err, false)
}

// breakDown stops the ledger for good and returns ErrFailed with the cause.
func (l *Ledger) breakDown(cause error, stuck bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, cause)
	}
	l.stuck = l.stuck || stuck
	return l.failed
}
