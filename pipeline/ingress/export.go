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

// load brings the body of a slice that is only in the store, which checks its digest.
func (q *Queue) load(it *lane.Item) (canon.SealedSlice, error) {
	e := it.User.(*entry)
	b, err := q.store.load(e)
	var s canon.SealedSlice
	if err == nil {
		s, err = canon.ViewSummed(b, e.digest)
	}
	if err != nil {
		q.m.WALCorrupt.Inc()
		return canon.SealedSlice{}, q.unreadable(e, fmt.Errorf("%w: %v seq %d: %w", ErrCorrupt, e.s.name, it.Seq, err))
	}
	return s, nil
}

// free gives the body's memory back.
func (e *entry) free() {
	if e.release != nil {
		e.release()
		e.release = nil
	}
}

// hooks ties the router's events to the books and the metrics.
func (q *Queue) hooks() lane.Hooks {
	return lane.Hooks{
		Acked: q.onAcked,
		Failed: func(f lane.Failure) {
			if f.Class != lane.Halt { // Halted counts that
				q.m.Exports.WithLabelValues(f.Class.String()).Add(float64(f.Slices))
			}
			if f.Retried {
				op := "put"
				if f.Op == "handshake" {
					op = f.Op
				}
				q.m.Retries.WithLabelValues(op).Inc()
			}
		},
		Halted: func(l *lane.Lane, seq uint64, err error) {
			q.m.Exports.WithLabelValues("fail").Inc()
			q.mu.Lock()
			defer q.mu.Unlock()
			st := q.streams[l.Stream()]
			if st == nil {
				return
			}
			if st.halted == nil {
				st.halted = err
				q.halted++
			}
			if q.suspect[st] && errors.Is(err, export.ErrGap) {
				q.cut = append(q.cut, st)
				q.wake()
			}
		},
		Circuit: func(open bool, _ error) {
			q.mu.Lock()
			defer q.mu.Unlock()
			if open && !q.open {
				q.m.ReadyMissing.WithLabelValues(string(pipeline.ExporterOK)).Inc()
			}
			q.open = open
		},
	}
}

func (q *Queue) onAcked(now time.Time, items []*lane.Item, acks []export.Ack) {
	ok, dup := 0, 0
	for i, it := range items {
		if acks[i] == export.AckDuplicate {
			dup++
		} else {
			ok++
		}
		q.m.ExportLatency.Observe(now.Sub(it.EnqueuedAt).Seconds())
		q.m.OrderingWait.Observe(it.Held.Seconds())
	}
	q.m.Exports.WithLabelValues("ok").Add(float64(ok))
	q.m.Exports.WithLabelValues("dup").Add(float64(dup))
	q.m.DupDetected.Add(float64(dup))
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		e := it.User.(*entry)
		if !e.slice.IsZero() {
			q.resident -= e.size
			e.slice = canon.SealedSlice{}
		}
		e.item.Slice = nil
		e.free()
		q.drop(e)
		q.acks = append(q.acks, e)
	}
	q.publish()
}
