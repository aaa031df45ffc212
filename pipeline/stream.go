package pipeline

import (
	"slices"
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

	keys []canon.RowKey // the stream's rows, ascending, encoded
	rows []uint32       // their numbers in the shard map

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

// denseRows is how many old rows there are at most for each new one where all are looked at and moved one by one: a search and a move of many cost
// as much as that.
const denseRows = 6

// merge takes new rows into the order, of which it holds none: place has their numbers in rows, ascending by key. It goes from the back, in place, and
// moves what lies between two new rows at once where that is much.
func (s *stream) merge(rows []newRow, place []uint32) {
	i := len(s.keys) // rows of the old order not yet moved
	s.keys = extend(s.keys, len(place))
	s.rows = extend(s.rows, len(place))
	if i == 0 {
		keys, numbers := s.keys[:len(place)], s.rows[:len(place)]
		for j, x := range place {
			r := &rows[x]
			r.put(&keys[j])
			numbers[j] = r.row
		}
		return
	}
	dense := i < denseRows*len(place)
	var k canon.RowKey
	for j := len(place) - 1; j >= 0; j-- {
		r := &rows[place[j]]
		if i > 0 {
			r.put(&k)
			if dense {
				for ; i > 0 && k.Compare(&s.keys[i-1]) < 0; i-- {
					s.keys[i+j], s.rows[i+j] = s.keys[i-1], s.rows[i-1]
				}
			} else if m := s.below(i, &k); m < i {
				copy(s.keys[m+j+1:], s.keys[m:i])
				copy(s.rows[m+j+1:], s.rows[m:i])
				i = m
			}
		}
		r.put(&s.keys[i+j])
		s.rows[i+j] = r.row
	}
}

// below returns how many of the first n keys are below k. It looks in strides that double, from the end: among few new rows the next one is
// far, among many it is near.
func (s *stream) below(n int, k *canon.RowKey) int {
	lo, hi := 0, n // keys before lo are below k, those from hi on are not
	for d := 1; hi > 0; d *= 2 {
		m := max(hi-d, 0)
		if s.keys[m].Compare(k) < 0 {
			lo = m + 1
			break
		}
		hi = m
	}
	for lo < hi {
		if m := int(uint(lo+hi) / 2); s.keys[m].Compare(k) < 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// renumber gives each row its new number and drops those that have none; where most are gone, their memory too.
func (s *stream) renumber(moves []uint32) {
	n := 0
	for i, row := range s.rows {
		if to := moves[row]; to != 0 {
			s.rows[n], s.keys[n] = to-1, s.keys[i]
			n++
		}
	}
	s.rows, s.keys = s.rows[:n], s.keys[:n]
	if 2*n < cap(s.keys) {
		s.rows, s.keys = slices.Clone(s.rows), slices.Clone(s.keys)
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
