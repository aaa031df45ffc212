package ingress

import (
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// store keeps what must outlive the process. commit is called by one goroutine at a time, load by several beside it.
type store interface {
	// commit makes all of c durable, or nothing of it. errFullDisk says that nothing is held and that it may be tried again.
	commit(c *change) error
	// load returns the bytes staged under n, in memory of their own.
	load(n uint64) ([]byte, error)
	// replay calls the functions with everything that is held, each kind in the order in which it came.
	replay(staged func(n uint64, d canon.Digest, b []byte) error, acked func(n uint64, a ackedSlice) error, key func(n uint64, k keyRecord) error) error
	close() error
}

// change is one transaction.
type change struct {
	put    []staged
	del    []uint64 // numbers of staged slices that are acked
	acked  []numbered[ackedSlice]
	keys   []numbered[keyRecord]
	forget [2]uint64 // acked and keys below these numbers are dropped
}

func (c *change) empty() bool {
	return len(c.put)+len(c.del)+len(c.acked)+len(c.keys) == 0
}

type numbered[T any] struct {
	n uint64
	v T
}

type staged struct {
	n      uint64
	digest canon.Digest
	bytes  []byte
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
func (inMemory) load(uint64) ([]byte, error) { return nil, ErrCorrupt } // all slices stay with their items
func (inMemory) close() error                { return nil }
func (inMemory) replay(func(uint64, canon.Digest, []byte) error, func(uint64, ackedSlice) error, func(uint64, keyRecord) error) error {
	return nil
}
