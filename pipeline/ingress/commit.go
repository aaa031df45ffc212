package ingress

import (
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

const (
	groupBytes = 8 << 20 // of slices in one transaction; one slice always goes
	groupAcks  = 8192
	// ackDelay is how long acks wait for a transaction to ride with: one that is lost with the process costs a repeated export only.
	ackDelay = 50 * time.Millisecond
)

// commits is the committer: it ends when Close has taken the last request and its acks are in the store.
func (q *Queue) commits() {
	defer close(q.done)
	tick := time.NewTimer(ackDelay)
	defer tick.Stop()
	for {
		stopping, late := false, false
		select {
		case <-q.kick:
		case <-tick.C:
			late = true
			tick.Reset(ackDelay)
		case <-q.stop:
			stopping = true
		}
		for q.commit(late || stopping) {
		}
		if stopping {
			return
		}
	}
}

// commit judges and commits one group, with the acks that have come; acks alone only where asked. It reports whether more is waiting.
func (q *Queue) commit(acksAlone bool) bool {
	q.mu.Lock()
	n, bytes := 0, 0
	for n < len(q.waiting) && (n == 0 || bytes+len(q.waiting[n].slice.Bytes()) <= groupBytes) {
		bytes += len(q.waiting[n].slice.Bytes())
		n++
	}
	if n == 0 && (len(q.acks) == 0 || !acksAlone) {
		q.mu.Unlock()
		return false
	}
	group := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	acks := q.acks[:min(len(q.acks), groupAcks)]
	q.acks = q.acks[len(acks):]
	failed := q.failed
	var c change
	if failed == nil {
		for _, r := range group {
			q.judge(r)
			switch {
			case r.entry != nil:
				c.put = append(c.put, staged{r.entry.n, r.entry.digest, r.slice.Bytes()})
			case r.key != nil && r.ack == export.AckOK:
				c.keys = append(c.keys, numbered[keyRecord]{q.order.first + uint64(len(q.order.items)) - 1, *r.key})
			}
		}
		q.retire(&c, acks)
	}
	q.mu.Unlock()

	if failed == nil && !c.empty() {
		failed = q.write(&c)
	}
	q.finish(group, acks, failed)
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 || len(q.acks) > 0 && acksAlone && q.failed == nil && failed == nil
}

// retire adds what acks change to c. Under mu.
func (q *Queue) retire(c *change, acks []*entry) {
	for _, e := range acks {
		if e.acked.n == 0 { // not in a commit that failed before
			e.acked.n = q.acked.push(place{e.s, e.item.Seq}) + 1
		}
		c.del = append(c.del, e.n)
		c.acked = append(c.acked, numbered[ackedSlice]{e.acked.n - 1, e.acked.v})
	}
	for len(q.acked.items) > q.o.Horizon {
		delete(q.seen, q.acked.pop())
	}
	c.forget = [2]uint64{q.acked.first, q.order.first}
}

// write commits c. A full disk leaves things as they were; any other failure ends the queue.
func (q *Queue) write(c *change) error {
	start := time.Now()
	err := q.store.commit(c)
	if q.disk {
		q.m.WALFsync.Observe(time.Since(start).Seconds())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFullDisk):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	q.log.Error("the staging file failed: nothing more is accepted until a restart", "err", err)
	q.m.ReadyMissing.WithLabelValues(string(pipeline.WALOK)).Inc()
	q.mu.Lock()
	q.failed = err
	q.mu.Unlock()
	return err
}

// finish hands accepted slices to their lanes and answers the group; failed, it undoes what was booked.
func (q *Queue) finish(group []*request, acks []*entry, failed error) {
	q.mu.Lock()
	var items []*lane.Item
	for i := len(group) - 1; i >= 0 && failed != nil; i-- { // backwards: tips go back step by step
		q.undo(group[i], failed)
	}
	if failed != nil {
		q.acks = append(acks, q.acks...)
	}
	for _, r := range group {
		e := r.entry
		if e == nil || failed != nil {
			continue
		}
		e.item = lane.Item{Lane: e.s.lane, Seq: e.item.Seq, Size: int(e.size), User: e}
		if !q.disk || q.resident+e.size <= q.o.MaxResident {
			q.resident += e.size
			e.item.Slice = &e.slice
		} else {
			e.slice = canon.SealedSlice{}
			e.free()
		}
		items = append(items, &e.item)
	}
	q.publish()
	q.mu.Unlock()
	if n, err := q.router.Enqueue(items...); err != nil { // only after Close: they are staged and go out after the next Open
		q.log.Warn("staged, not enqueued", "slices", len(items)-n, "err", err)
	}
	for _, r := range group {
		if r.entry == nil {
			r.release()
		}
		close(r.done)
	}
}

// undo takes back what judge booked. Under mu.
func (q *Queue) undo(r *request, failed error) {
	switch e := r.entry; {
	case e != nil:
		q.drop(e)
		delete(q.seen, place{e.s, e.item.Seq})
		e.s.tip, e.s.digest, e.s.tipOK = e.before.head, e.before.digest, e.before.ok
		r.entry = nil
	case r.key != nil && r.ack == export.AckOK:
		delete(q.keys, r.key.key)
		q.order.items = q.order.items[:len(q.order.items)-1]
	}
	if r.err == nil {
		r.err = failed
	}
	r.ack = 0
}

// publish sets the gauges. Under mu.
func (q *Queue) publish() {
	q.m.QueueDepth.WithLabelValues("ingress").Set(float64(q.total.slices))
}
