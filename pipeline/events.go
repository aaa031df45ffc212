package pipeline

import (
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// EventKind says what happened to a slice.
type EventKind uint8

const (
	SliceSealed   EventKind = iota + 1 // committed; its export begins
	SliceExported                      // acked by a sink
)

// Event is one step of a slice's way.
type Event struct {
	Kind   EventKind
	Stream export.Stream
	Seq    uint64
	Digest canon.Digest
	Sink   string     // SliceExported: the sink's name
	Ack    export.Ack // SliceExported
	At     time.Time
}

// Events is a bounded queue from the pipeline to one or more readers. A full queue drops its oldest event: a slow reader
// never holds the pipeline. Safe for concurrent use.
type Events struct {
	mu      sync.Mutex
	ring    []Event
	head, n int
	dropped uint64
	wake    chan struct{}
}

// NewEvents returns a queue of at most capacity events (at least 1).
func NewEvents(capacity int) *Events {
	return &Events{ring: make([]Event, max(capacity, 1)), wake: make(chan struct{}, 1)}
}

func (e *Events) push(ev Event) (dropped bool) {
	e.mu.Lock()
	if e.n == len(e.ring) {
		e.head = (e.head + 1) % len(e.ring)
		e.n--
		e.dropped++
		dropped = true
	}
	e.ring[(e.head+e.n)%len(e.ring)] = ev
	e.n++
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return dropped
}

// Next takes the oldest event; ok is false where there is none. Wait on Ready to be told of more.
func (e *Events) Next() (ev Event, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n == 0 {
		return Event{}, false
	}
	ev = e.ring[e.head]
	e.head = (e.head + 1) % len(e.ring)
	e.n--
	return ev, true
}

// Ready receives after a push; one receive may stand for many events.
func (e *Events) Ready() <-chan struct{} { return e.wake }

// Dropped returns how many events were dropped because nobody took them in time.
func (e *Events) Dropped() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dropped
}
