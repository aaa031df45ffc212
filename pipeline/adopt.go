package pipeline

import (
	"math"
	"math/bits"

	"github.com/ron-accounting/ron-accounting/shardmap"
	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// How the shard map's new rows come into their streams' orders: in the background while a window runs, so that its seal finds them there, and what
// came after that in the seal itself. Either is one batch after another: the keys are read, grouped by stream, sorted and merged.

// leastBatch is the number of rows of a batch, if there are so many. Each batch moves the orders of all its streams, so larger orders are worth larger
// batches: a quarter of what is adopted, so that a row is moved a few times however many there are.
const leastBatch = 1 << 15

// keptBatch is the number of rows whose scratch memory, 52 bytes a row, is kept for the next batch.
const keptBatch = 1 << 13

// adopter is the scratch memory. Guarded by Pipeline.sealMu.
type adopter struct {
	adopted int      // rows in the orders, or in them once
	rows    []newRow // of the batch
	place   []uint32 // their numbers, by stream, in the order of dirty
	count   []uint32 // by stream: its rows in the batch; then where in place the next one goes; zero between batches
	dirty   []uint32 // streams with new rows
	one     bool     // all rows are of one stream; then spread is theirs
	spread  spread
	order   orderer
	probe   shardmap.WideKey // a key in use
}

// adoptRows takes what Scan or Notice covered into the orders and returns all streams.
func (p *Pipeline) adoptRows() []*stream {
	streams := p.streams.all() // after Scan or Notice: a stream is made before its rows
	for p.adoptBatch(streams) > 0 {
	}
	return streams
}

// adoptAhead takes the rows made so far into the orders. It holds sealMu for a batch at a time.
func (p *Pipeline) adoptAhead() {
	for left := 1; left > 0; {
		p.sealMu.Lock()
		if p.m.Notice() > 0 {
			timer := startSealTimer(true)
			left = p.adoptBatch(p.streams.all())
			timer.stop(p.metrics) // not a seal: its time is none of seal_seconds
		} else {
			left = 0
		}
		p.sealMu.Unlock()
	}
}

// adoptBatch takes some new rows into the orders and returns how many are left.
func (p *Pipeline) adoptBatch(streams []*stream) (left int) {
	a := &p.s.adopter
	most := max(leastBatch, a.adopted/4)
	left = p.read(most)
	if len(a.rows) == 0 {
		return left
	}
	place := a.place[:len(a.rows)]
	if a.one {
		for i := range place {
			place[i] = uint32(i)
		}
		a.order.sortSpread(a.rows, place, a.spread)
		streams[a.rows[0].stream].merge(a.rows, place)
	} else {
		a.group(place, len(streams))
		from := uint32(0)
		for _, id := range a.dirty {
			to := a.count[id]
			a.count[id] = 0
			a.order.sort(a.rows, place[from:to])
			streams[id].merge(a.rows, place[from:to])
			from = to
		}
	}
	a.adopted += len(a.rows)
	a.rows, a.dirty = a.rows[:0], a.dirty[:0]
	if cap(a.rows) > keptBatch && left == 0 {
		a.rows, a.place, a.order = nil, nil, orderer{}
	}
	return left
}

// group sets place to the rows' numbers, by stream, and count to where each stream's end.
func (a *adopter) group(place []uint32, streams int) {
	if len(a.count) < streams {
		a.count = append(a.count, make([]uint32, streams-len(a.count))...)
	}
	for i := range a.rows {
		id := a.rows[i].stream
		if a.count[id]++; a.count[id] == 1 {
			a.dirty = append(a.dirty, id)
		}
	}
	at := uint32(0)
	for _, id := range a.dirty {
		n := a.count[id]
		a.count[id] = at
		at += n
	}
	for i := range a.rows {
		next := &a.count[a.rows[i].stream]
		place[*next] = uint32(i)
		*next++
	}
}

// read reads the keys of at most most new rows, and what they have in common.
func (p *Pipeline) read(most int) (left int) {
	a := &p.s.adopter
	if need := min(most, p.m.News()); cap(a.rows) < need {
		a.rows = make([]newRow, max(need, min(2*cap(a.rows), keptBatch)))
		a.place = make([]uint32, len(a.rows))
	}
	rows, n := a.rows[:cap(a.rows)], 0
	b, left := p.m.NewBatch(most)
	if b.Len() > 0 {
		_, _, k := b.At(0)
		a.probe = shardmap.UnpackWide(&table.Packed{k[0], k[1], k[2], k[3], k[4]})
	}
	var s spread
	s.least = math.MaxUint32
	var hi, lo uint64
	var first, others uint32 // streams
	for ; b.Len() > 0; b, left = p.m.NewBatch(most - n) {
		part := rows[n:][:b.Len()]
		if n == 0 {
			_, id, k := b.At(0)
			first, hi, lo = id, bits.ReverseBytes64(k[2]), bits.ReverseBytes64(k[3])
		}
		n += len(part)
		for i := range part {
			row, id, k := b.At(i)
			r := &part[i] // field by field: a literal would be copied, and the copy wait for what was just stored
			r.hi, r.lo, r.ns = bits.ReverseBytes64(k[2]), bits.ReverseBytes64(k[3]), uint32(k[4])
			r.row, r.stream = row, id
			s.least, s.most = min(s.least, r.ns), max(s.most, r.ns)
			s.hi |= r.hi ^ hi
			s.lo |= r.lo ^ lo
			others |= id ^ first
		}
	}
	a.rows, a.spread, a.one = rows[:n], s, others == 0
	return left
}

// renumber follows a sweep: moves says, by old row number, what became of each row. The orders stay as they are, without the rows that are gone.
func (p *Pipeline) renumber(moves []uint32) {
	p.s.adopted = 0
	for _, s := range p.streams.all() {
		s.renumber(moves)
		p.s.adopted += len(s.rows)
	}
}
