package ingress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// request is a slice, or an idempotency key, on its way to the disk. It is the committer's from Put until done is closed.
type request struct {
	slice   canon.SealedSlice
	release func()
	tip     *tip // what the sink said of an unknown stream
	key     *keyRecord
	rows    []byte               // of its batch, as the store keeps them until they are counted
	count   func(mark func(int)) // counts them, once the key is kept

	entry *entry // where it is accepted
	ack   export.Ack
	err   error
	done  chan struct{}
}

// tip is a sink's answer.
type tip struct {
	seq    uint64
	digest canon.Digest
	ok     bool
}

// Put stages s. AckOK: it is held durably and will be exported; AckDuplicate: it was accepted before. release is called once, with
// whatever outcome, when the bytes of s are not needed any more; that may be long after Put. The error is *export.RefusedError
// (gap or conflict), canon.ErrSchema where its times run back, ErrOrderOverflow, ErrFull, ErrBusy, ErrTipUnknown, ErrClosed,
// ErrFailed, or export.ErrTimeout where ctx ended: then the outcome is unknown, and putting it again tells.
func (q *Queue) Put(ctx context.Context, s canon.SealedSlice, release func()) (export.Ack, error) {
	r := &request{slice: s, release: release}
	name := export.StreamOf(s.Head())
	q.mu.Lock()
	known := q.streams[name] != nil
	q.mu.Unlock()
	if !known {
		t, err := q.ask(ctx, name)
		if err != nil {
			release()
			return 0, err
		}
		r.tip = t
	}
	return q.do(ctx, r)
}

// Count keeps an idempotency key (any text's hash) for the batch with that hash, and counts the batch: add is called once with the number of rows
// that had been counted before, 0. dup: the key was kept before, for the same batch, which is counted already. Should the process be
// killed in between, the next Open counts what is left of rows, by Options.Recount, so a key that is kept is a batch that counts. The
// error is ErrKeyReused, ErrBusy, ErrFull, ErrClosed, ErrFailed, or export.ErrTimeout: then the outcome is unknown, and asking again tells.
func (q *Queue) Count(ctx context.Context, key, batch canon.Digest, rows []byte, add Recount) (dup bool, err error) {
	r := &request{release: func() {}, key: &keyRecord{key: key, batch: batch, at: time.Now()}, rows: rows}
	r.count = func(mark func(int)) {
		if err := add(rows, 0, mark); err != nil { // it was made sure of before
			q.log.Error("a batch of POST /record is not counted", "err", err)
		}
	}
	ack, err := q.do(ctx, r)
	return ack == export.AckDuplicate, err
}

func (r *request) size() int { return len(r.slice.Bytes()) + len(r.rows) }

func (q *Queue) do(ctx context.Context, r *request) (export.Ack, error) {
	r.done = make(chan struct{})
	q.mu.Lock()
	err := q.failed
	if q.closed {
		err = ErrClosed
	}
	if err != nil {
		q.mu.Unlock()
		r.release()
		return 0, err
	}
	q.waiting = append(q.waiting, r)
	q.mu.Unlock()
	q.wake()
	select {
	case <-r.done:
		return r.ack, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: ingress: the commit takes too long: %w", export.ErrTimeout, ctx.Err())
	}
}

func (q *Queue) wake() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// judge decides on a request, as if all that was accepted before were committed, and books it. Under mu.
func (q *Queue) judge(r *request) {
	if r.key != nil {
		r.ack, r.err = q.judgeKey(r.key)
		return
	}
	h := r.slice.Head()
	name := export.StreamOf(h)
	st := q.streams[name]
	if st == nil {
		if r.tip == nil {
			r.err = fmt.Errorf("%w: it was forgotten a moment ago", ErrTipUnknown)
			return
		}
		if len(q.streams) >= q.o.MaxStreams && !q.forgetIdle() {
			r.err = fmt.Errorf("%w: %d streams have staged slices", ErrBusy, len(q.streams))
			return
		}
		st = q.stream(name)
		if r.tip.ok {
			st.move(canon.Head{Seq: r.tip.seq}, r.tip.digest)
		}
	}
	st.used = time.Now()
	if r.ack, r.err = q.place(st, &r.slice, &h); r.ack != 0 || r.err != nil {
		return
	}
	size := int64(len(r.slice.Bytes()))
	mine := q.tenants[name.Tenant]
	switch {
	case st.staged >= q.o.LaneCapacity:
		r.err = fmt.Errorf("%w: %v holds %d", ErrOrderOverflow, name, st.staged)
	case q.full(&q.total, size, 1, 1):
		r.err = fmt.Errorf("%w: %d slices of %d bytes are staged", ErrFull, q.total.slices, q.total.bytes)
	case mine != nil && q.full(mine, size, 1, q.o.TenantShare):
		r.err = fmt.Errorf("%w: the tenant has its share: %d slices of %d bytes", ErrFull, mine.slices, mine.bytes)
	default:
		d := r.slice.Digest()
		e := &entry{s: st, digest: d, size: size, slice: r.slice, release: r.release}
		e.acked = ackedSlice{name, h.Seq, d, h.WindowStartS, h.WindowEndS, h.SealedAtMS}
		e.item.Seq = h.Seq
		e.before.head, e.before.digest, e.before.ok = st.tip, st.digest, st.tipOK
		q.hold(e)
		st.move(h, d)
		r.entry, r.ack = e, export.AckOK
	}
}

// place tells where a slice belongs: (0, nil) is behind the tip. Under mu.
func (q *Queue) place(st *stream, s *canon.SealedSlice, h *canon.Head) (export.Ack, error) {
	refuse := func(kind error) error {
		e := &export.RefusedError{Kind: kind, Stream: st.name, Seq: h.Seq, TipOK: st.tipOK, TipSeq: st.tip.Seq, TipDigest: st.digest}
		if st.tipOK {
			e.ExpectedSeq = st.tip.Seq + 1
		}
		return e
	}
	if st.tipOK && h.Seq <= st.tip.Seq {
		d, ok := q.seen[place{st, h.Seq}]
		if h.Seq == st.tip.Seq {
			d, ok = st.digest, true
		}
		switch {
		case ok && d == s.Digest():
			return export.AckDuplicate, nil
		case !ok:
			return 0, fmt.Errorf("%w: too old to tell whether it is what was sent before", refuse(export.ErrConflict))
		}
		return 0, refuse(export.ErrConflict)
	}
	if st.halted != nil {
		return 0, st.halted
	}
	if !st.tipOK {
		if h.Prev != nil {
			return 0, refuse(export.ErrGap)
		}
		return 0, nil
	}
	chain := canon.ResumeChain(st.tip, st.digest)
	err := chain.Append(*s)
	if err == nil {
		return 0, nil
	}
	switch ruleOf(err) {
	case canon.ChainSeq, canon.ChainGap, canon.ChainPrev:
		return 0, refuse(export.ErrGap)
	}
	return 0, fmt.Errorf("%w: %w", canon.ErrSchema, err)
}

// judgeKey books a key, or says that it is there. Under mu.
func (q *Queue) judgeKey(k *keyRecord) (export.Ack, error) {
	for len(q.order) > 0 && k.at.Sub(q.keys[q.order[0]].at) > q.o.KeyAge {
		delete(q.keys, q.order.pop())
		q.forget[1]++
	}
	if old, ok := q.keys[k.key]; ok {
		if old.batch != k.batch {
			return 0, ErrKeyReused
		}
		return export.AckDuplicate, nil
	}
	if len(q.keys) >= q.o.MaxKeys {
		return 0, fmt.Errorf("%w: %d idempotency keys are remembered", ErrBusy, len(q.keys))
	}
	q.keys[k.key] = *k
	q.order.push(k.key)
	return export.AckOK, nil
}

// ruleOf is the rule of the chain that is broken.
func ruleOf(err error) string {
	var c *canon.ChainError
	if errors.As(err, &c) {
		return c.Rule
	}
	return ""
}
