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
	groupBytes = 8 << 20 // of slices in one commit; one slice always goes
	groupAcks  = 8192
	// ackDelay is how long acks wait for a commit to ride with: one that is lost with the process costs a repeated export only.
	ackDelay = 50 * time.Millisecond
)

// commits is the committer: it ends when Close has taken the last request and its acks are in the store.
func (q *Queue) commits() {
	defer close(q.done)
	tick := time.NewTimer(ackDelay)
	defer tick.Stop()
	tended := time.Now()
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
		q.setAside()
		if stopping {
			return
		}
		if time.Since(tended) >= maintainEvery {
			q.tend()
			tended = time.Now()
		}
	}
}

// tend lets the store do what can wait.
func (q *Queue) tend() {
	err := q.store.maintain()
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil && q.unwell == nil {
		q.log.Error("the staging log is not well", "err", err)
		q.m.ReadyMissing.WithLabelValues(string(pipeline.WALOK)).Inc()
	}
	q.unwell = err
}

// commit judges and commits one group, with the acks that have come; acks alone only where asked. It reports whether more is waiting.
func (q *Queue) commit(acksAlone bool) bool {
	q.mu.Lock()
	n, bytes := 0, 0
	for n < len(q.waiting) && (n == 0 || bytes+q.waiting[n].size() <= groupBytes) {
		bytes += q.waiting[n].size()
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
	var batches []*request
	if failed == nil {
		for _, r := range group {
			q.judge(r)
			switch {
			case r.entry != nil:
				c.put = append(c.put, r.entry)
			case r.key != nil && r.ack == export.AckOK:
				c.keys = append(c.keys, *r.key)
				c.batches = append(c.batches, r.rows)
				batches = append(batches, r)
			}
		}
		q.retire(&c, acks)
	}
	q.mu.Unlock()

	if failed == nil && !c.empty() {
		failed = q.write(&c)
	}
	if failed == nil {
		for i, r := range batches { // before anybody hears of it
			r.count(q.store.mark(i))
		}
		q.store.drop(acks, len(batches))
	}
	q.finish(group, acks, &c, failed)
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 || len(q.acks) > 0 && acksAlone && q.failed == nil && failed == nil
}

// retire adds what acks change to c. Under mu.
func (q *Queue) retire(c *change, acks []*entry) {
	for _, e := range acks {
		if !e.retired { // not in a commit that failed before
			e.retired = true
			q.acked.push(place{e.s, e.item.Seq})
		}
		c.acked = append(c.acked, e.acked)
	}
	q.trim()
	c.forget = q.forget
}

// trim forgets the acked slices beyond the horizon. Under mu, or before the queue is shared.
func (q *Queue) trim() {
	for len(q.acked) > q.o.Horizon {
		delete(q.seen, q.acked.pop())
		q.forget[0]++
	}
}

// write commits c. Where the store has no room things are left as they were; any other failure ends the queue.
func (q *Queue) write(c *change) error {
	err := q.store.commit(c)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoRoom):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	q.log.Error("the staging log failed: nothing more is accepted until a restart", "err", err)
	q.m.ReadyMissing.WithLabelValues(string(pipeline.WALOK)).Inc()
	q.mu.Lock()
	q.failed = err
	q.mu.Unlock()
	return err
}

// finish hands accepted slices to their lanes and answers the group; failed, it undoes what was booked.
func (q *Queue) finish(group []*request, acks []*entry, c *change, failed error) {
	q.mu.Lock()
	var items []*lane.Item
	for i := len(group) - 1; i >= 0 && failed != nil; i-- { // backwards: tips go back step by step
		q.undo(group[i], failed)
	}
	if failed != nil {
		q.acks = append(acks[:len(acks):len(acks)], q.acks...)
	} else if !c.empty() {
		q.forget[0] -= c.forget[0]
		q.forget[1] -= c.forget[1]
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
		q.order = q.order[:len(q.order)-1]
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
