package pipeline

import (
	"bytes"
	"slices"
	"sync"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// stream is one chain in the making. All fields but the first four are the sealer's (Pipeline.sealMu).
type stream struct {
	id     uint32
	tenant canon.ID
	dim    Dimension
	name   export.Stream

	order []orderEntry // the stream's rows, ascending by (namespace, subject)
	fresh []orderEntry // rows not yet sorted in

	next      uint64       // seq of the next slice
	prev      canon.Digest // of the slice before it; where next > 0
	hasPrev   bool         // prev is known: false before the first slice, or where all before are lost
	sealedAt  uint64       // of the last slice, ms
	windowEnd uint64       // of the last slice, s
	units     u128         // sealed so far

	from   uint64     // start of the first window left unsealed, s; 0: none
	quiet  int        // windows since the last row was sealed
	gap    *canon.Gap // lost or shed slices, to be declared by the next one
	halted bool       // recovery or a sink found the chain broken: counters count, nothing is sealed

	lanes []*lane.Lane // one a sink
	late  []bool       // an optional sink that has missed a slice of this stream
}

// orderEntry is a row of a stream with what it is sorted by.
type orderEntry struct {
	row     uint32
	ns      uint32
	subject canon.ID
}

func compareEntries(a, b orderEntry) int {
	if a.ns != b.ns {
		if a.ns < b.ns {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.subject[:], b.subject[:])
}

// settle sorts the fresh rows into the order. What was there is merged, not sorted again.
func (s *stream) settle(scratch []orderEntry) []orderEntry {
	if len(s.fresh) == 0 {
		return scratch
	}
	sortEntries(s.fresh, &scratch)
	switch {
	case len(s.order) == 0:
		s.order = append(s.order, s.fresh...)
	case compareEntries(s.order[len(s.order)-1], s.fresh[0]) < 0:
		s.order = append(s.order, s.fresh...)
	default:
		s.order = mergeEntries(s.order, s.fresh)
	}
	s.fresh = s.fresh[:0]
	if cap(s.fresh) > 64 {
		s.fresh = nil
	}
	return scratch
}

// mergeEntries merges b into a, both ascending and disjoint, from the back, in a's memory where it suffices.
func mergeEntries(a, b []orderEntry) []orderEntry {
	i, j := len(a)-1, len(b)-1
	a = slices.Grow(a, len(b))[:len(a)+len(b)]
	for k := len(a) - 1; j >= 0; k-- {
		if i >= 0 && compareEntries(a[i], b[j]) > 0 {
			a[k] = a[i]
			i--
		} else {
			a[k] = b[j]
			j--
		}
	}
	return a
}

type streamKey struct {
	tenant canon.ID
	dim    Dimension
}

// streamTable knows every stream of the writer. A stream stays for the writer's life: its chain head must never be forgotten.
// Look-ups and additions may come from any goroutine; ids are handed out in order of first use.
type streamTable struct {
	mu    sync.RWMutex
	byKey map[streamKey]uint32
	list  []*stream
	limit int
}

func newStreamTable(limit int) *streamTable {
	return &streamTable{byKey: map[streamKey]uint32{}, limit: limit}
}

// get returns the stream's id; ok is false where there is no such stream.
func (t *streamTable) get(k streamKey) (id uint32, ok bool) {
	t.mu.RLock()
	id, ok = t.byKey[k]
	t.mu.RUnlock()
	return id, ok
}

// add returns the stream's id, making the stream with make (under the table's lock) where it is new; ok is false at the limit.
func (t *streamTable) add(k streamKey, make func(id uint32) *stream) (id uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, ok := t.byKey[k]; ok {
		return id, true
	}
	if len(t.list) >= t.limit {
		return 0, false
	}
	id = uint32(len(t.list))
	t.list = append(t.list, make(id))
	t.byKey[k] = id
	return id, true
}

// all returns the streams known now, by id. The slice is never changed in place; streams are shared.
func (t *streamTable) all() []*stream {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.list[:len(t.list):len(t.list)]
}

func (t *streamTable) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.list)
}
