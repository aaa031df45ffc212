package pipeline

import (
	"sync"
	"sync/atomic"

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

	keys  []canon.RowKey // the stream's rows, ascending, encoded
	rows  []uint32       // their numbers in the shard map
	fresh []orderEntry   // rows not yet sorted in

	next                   uint64       // seq of the next slice
	prev                   canon.Digest // of the slice before it; where next > 0
	hasPrev                bool         // prev is known: false before the first slice, or where all before are lost
	sealedAt               uint64       // of the last slice, ms
	windowStart, windowEnd uint64       // of the last slice, s

	from    uint64     // start of the first window left unsealed, s; 0: none
	quiet   int        // windows since the last row was sealed
	gap     *canon.Gap // lost or shed slices, to be declared by the next one
	covered u128       // units of it that are open and in the checkpoint
	halted  bool       // recovery or a sink found the chain broken: counters count, nothing is sealed

	reseal []*pending // recovered slices behind a hole: sealed anew with the gap that declares it

	lanes []*lane.Lane  // one a sink
	late  []atomic.Bool // an optional sink that has missed a slice of this stream
}

// settle sorts the fresh rows into the order: only they are sorted, then merged.
func (s *stream) settle(o *orderer) {
	if len(s.fresh) == 0 {
		return
	}
	o.sort(s.fresh)
	s.merge(s.fresh)
	s.fresh = nil // new rows are rare after the first windows, and there are many streams
}

// merge takes in, which ascends and shares no key with the order, into it: from the back, in place.
func (s *stream) merge(in []orderEntry) {
	i, j := len(s.keys)-1, len(in)-1
	s.keys = extend(s.keys, len(in))
	s.rows = extend(s.rows, len(in))
	for k := len(s.keys) - 1; j >= 0; k-- {
		if i >= 0 && s.keys[i].Compare(&in[j].key) > 0 {
			s.keys[k], s.rows[k] = s.keys[i], s.rows[i]
			i--
		} else {
			s.keys[k], s.rows[k] = in[j].key, in[j].row
			j--
		}
	}
}

// extend returns a longer by n. It grows by an eighth at most, not by the runtime's quarter or double: streams are many, and most get their rows once.
func extend[T any](a []T, n int) []T {
	if need := len(a) + n; need > cap(a) {
		b := make([]T, len(a), max(need, len(a)+len(a)/8))
		copy(b, a)
		a = b
	}
	return a[:len(a)+n]
}

// forget drops the order: the shard map has numbered its rows anew.
func (s *stream) forget() { s.keys, s.rows, s.fresh = s.keys[:0], s.rows[:0], nil }

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
