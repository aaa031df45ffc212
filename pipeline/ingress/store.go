package ingress

import (
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// store keeps what must outlive the process. All but load is called by one goroutine at a time; load by several beside it.
type store interface {
	// commit makes all of c durable, or nothing of it, and sets where its entries are. errNoRoom says that nothing is held and that it may be
	// tried again.
	commit(c *change) error
	// load returns the bytes of a staged slice, in memory of their own, checked against its digest.
	load(e *entry) ([]byte, error)
	// mark returns where the counting of the i-th batch of the last commit is noted: the number of its rows that were begun.
	mark(i int) func(int)
	// drop gives up entries that need not be held any more, and the batch, where there is one, that was counted. It does no I/O and may be forgotten
	// by a crash.
	drop(staged []*entry, batches int)
	// maintain does what can wait, about once a second.
	maintain() error
	// replay calls the functions with everything that is held: acked slices and keys in the order in which they came, staged slices in their streams' order.
	replay(r *replayed) error
	close() error
}

// change is one commit.
type change struct {
	put     []*entry
	acked   []ackedSlice
	keys    []keyRecord
	batches [][]byte // of increments, to be counted after the commit
	forget  [2]int   // so many of the oldest acked slices and keys are not needed any more
}

func (c *change) empty() bool {
	return len(c.put)+len(c.acked)+len(c.keys)+len(c.batches) == 0
}

// replayed takes what a store holds when it is opened.
type replayed struct {
	acked     func(ackedSlice)
	key       func(keyRecord)
	staged    func(e *entry, s canon.SealedSlice) // bytes of s are valid during the call
	broken    func(why string, err error)         // something that was accepted is lost
	uncertain func(n uint64)                      // how much of a batch was counted is not known
	batch     func(rows []byte, from int, done func(int)) error
}

// ackedSlice is what is kept of a slice that the sink holds.
type ackedSlice struct {
	stream                     export.Stream
	seq                        uint64
	digest                     canon.Digest
	windowStart, windowEnd, at uint64 // at: sealed_at_ms
}

// keyRecord is an idempotency key: its own hash, that of the batch it stood for, and when it came.
type keyRecord struct {
	key, batch canon.Digest
	at         time.Time
}

// inMemory is the store without a directory.
type inMemory struct{}

func (inMemory) commit(*change) error        { return nil }
func (inMemory) mark(int) func(int)          { return func(int) {} }
func (inMemory) load(*entry) ([]byte, error) { return nil, ErrCorrupt } // all slices stay with their items
func (inMemory) drop([]*entry, int)          {}
func (inMemory) maintain() error             { return nil }
func (inMemory) replay(*replayed) error      { return nil }
func (inMemory) close() error                { return nil }
