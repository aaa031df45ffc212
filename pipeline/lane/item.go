package lane

import (
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Item is one slice on its way to the router's sink. The caller fills the upper fields and hands it to Enqueue; from then
// until Acked (or Discard) returns it, it is the router's and the caller must not touch it or the slice's bytes.
// Items may be embedded in the caller's own records and used again.
type Item struct {
	Lane       *Lane
	Seq        uint64
	Slice      *canon.SealedSlice // nil: the body is not in memory, Config.Load brings it when its turn has come
	Size       int                // octets of the slice; set by Enqueue where Slice is there
	EnqueuedAt time.Time          // set by Enqueue where zero
	User       any                // the caller's

	// Set by the router, readable once it is acked.
	Held     time.Duration // how long the lane's order alone kept it back: N-1 was in a call or resting
	Attempts int           // calls that carried it

	next *Item         // behind it in the lane
	held time.Duration // the lane's blocked clock when it was enqueued
	gen  uint64        // drain generation
}
