package lane

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Lane is one stream's queue to one sink. Its fields belong to the router's mutex, but for n; while the lane is in a call
// (inflight) acked and tip are the calling worker's to read.
type Lane struct {
	r      *Router
	stream export.Stream
	flow   *flow
	id     uint32 // of the router, never used again
	n      atomic.Int32
	state  state
	solo   bool // its front failed alone: keep it out of batches

	next       *Lane // in the flow's ready list
	head, tail *Item

	last      uint64 // seq of the last item taken by Enqueue, or of SetTip
	acked     uint64 // seq of the last acked slice
	tip       canon.Digest
	hasLast   bool
	hasAcked  bool
	blockedAt time.Duration // since when it is inflight or resting, on the router's clock
	blocked   time.Duration // how long it was, before that
	trouble   *trouble      // nil while all is well
}

// trouble is what a lane needs only after a failure.
type trouble struct {
	attempts int           // failures in a row
	since    time.Duration // start of the operation that is failing, on the router's clock
	until    time.Duration // when to try again
	sinkWide bool          // failed with the whole call, and the sink named no time: woken when the circuit closes
	err      error
}

type state uint8

const (
	idle state = iota // nothing to put
	ready
	inflight
	resting
	halted
)

func (s state) String() string {
	return [...]string{"idle", "ready", "inflight", "resting", "halted"}[s]
}

// Stream returns the stream that the lane carries.
func (l *Lane) Stream() export.Stream { return l.stream }

// String is a short form for logs.
func (l *Lane) String() string { return l.stream.String() }

// Len returns the number of slices that are queued or in a call. One atomic load.
func (l *Lane) Len() int { return int(l.n.Load()) }

// Room returns how many slices the lane takes before LaneCapacity, never less than 0. One atomic load.
// It is advice to the sealer, which asks before it seals: Enqueue itself refuses nothing that is committed (a period
// boundary is sealed into a full lane too); Offer does.
func (l *Lane) Room() int { return max(l.r.cfg.LaneCapacity-int(l.n.Load()), 0) }

// SetTip tells the lane which slice the sink held last when the router started, so that a first item that does not follow
// it is refused and one that was exported before is a duplicate without a call. Only before the first Enqueue.
func (l *Lane) SetTip(seq uint64, d canon.Digest) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.last, l.hasLast = seq, true
	l.acked, l.tip, l.hasAcked = seq, d, true
}

// Tip returns the last acked slice; ok is false where there is none.
func (l *Lane) Tip() (seq uint64, d canon.Digest, ok bool) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.acked, l.tip, l.hasAcked
}

// Status is a lane's state for logs and tools.
type Status struct {
	State    string // idle, ready, inflight, resting, halted
	Len      int
	Seq      uint64 // of its front, where Len > 0 and it is not in a call
	Attempts int    // failures in a row
	Err      error  // the last failure since the last ack
}

// Status returns the lane's state.
func (l *Lane) Status() Status {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	s := Status{State: l.state.String(), Len: l.Len()}
	if l.head != nil {
		s.Seq = l.head.Seq
	}
	if l.trouble != nil {
		s.Attempts, s.Err = l.trouble.attempts, l.trouble.err
	}
	return s
}

// Restart serves a halted or resting lane again, at once: after the sink was mended. It reports whether it was either.
func (l *Lane) Restart() bool {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	switch l.state {
	case halted:
		r.unhalt(l)
	case resting:
		l.unblock(r.now())
	default:
		return false
	}
	l.trouble, l.solo = nil, false
	if l.head == nil {
		l.state = idle
		return true
	}
	r.push(l)
	r.wake()
	return true
}

// Discard takes all items out of a halted lane and gives them back to the caller, who has to account for them (a declared
// gap). The next item may have any seq. It fails for a lane that is not halted.
func (l *Lane) Discard() ([]*Item, error) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.state != halted {
		return nil, fmt.Errorf("accounting/lane: discard %v: got a lane that is %v, want a halted one", l, l.state)
	}
	var out []*Item
	for it := l.head; it != nil; {
		next := it.next
		it.next = nil
		out = append(out, it)
		r.drain.sub(it.gen, 1)
		it = next
	}
	r.unhalt(l)
	l.n.Add(-int32(len(out)))
	r.queued -= len(out)
	l.head, l.tail, l.state, l.hasLast, l.trouble = nil, nil, idle, false, nil
	r.checkDrained()
	return out, nil
}

// owns checks that the item is what it says, and of this lane.
func (l *Lane) owns(it *Item) bool {
	h := it.Slice.Head()
	return h.Seq == it.Seq && export.StreamOf(h) == l.stream
}

// append puts it behind the lane's last item.
func (l *Lane) append(it *Item) {
	it.next = nil
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
}

// prepend puts items, which are in order, before the lane's front.
func (l *Lane) prepend(items []*Item) {
	for i := len(items) - 1; i >= 0; i-- {
		items[i].next = l.head
		l.head = items[i]
		if l.tail == nil {
			l.tail = items[i]
		}
	}
}

// The blocked clock runs while the lane's order alone keeps its items back. An item's Held is how far it ran while the item
// was queued: two readings an item, however many calls and rests lie between them.
func (l *Lane) block(now time.Duration)   { l.blockedAt = now }
func (l *Lane) unblock(now time.Duration) { l.blocked += now - l.blockedAt }

func (l *Lane) blockedClock(now time.Duration) time.Duration {
	if l.state == inflight || l.state == resting {
		return l.blocked + now - l.blockedAt
	}
	return l.blocked
}
