package lane

import "github.com/ron-accounting/ron-accounting/canon"

// The scheduler: which slices the next call carries. Start-time fair queueing: each flow has a start tag; the flow with the
// smallest is served one slice and its tag advances by unit/weight; a flow that becomes ready starts at the virtual time,
// the tag last served, so that idling saves up nothing. Everything here runs under the router's mutex.

const (
	maxWeight = 8
	unit      = 840 // divisible by every weight from 1 to 8
)

// flow is a share of the sink: a tenant under WFQ, all lanes together under RoundRobin.
type flow struct {
	step       uint64 // unit/weight
	tag        uint64
	lanes      int // that draw on it; counted under WFQ
	at         int // index in the heap; -1: not there
	head, tail *Lane

	grow, growTail int32 // its runs in the batch being built that may get longer: a ring of indices; -1: none
}

func newFlow(weight uint8) *flow {
	return &flow{step: unit / uint64(max(weight, 1)), at: -1, grow: -1, growTail: -1}
}

func (f *flow) pushBack(l *Lane) {
	l.next = nil
	if f.tail == nil {
		f.head = l
	} else {
		f.tail.next = l
	}
	f.tail = l
}

func (f *flow) pop() *Lane {
	l := f.head
	f.head, l.next = l.next, nil
	if f.head == nil {
		f.tail = nil
	}
	return l
}

// flows is a heap by tag of the flows that can give a slice now.
type flows struct {
	heap []*flow
	time uint64 // tag last served
}

func (h *flows) add(f *flow) {
	if f.at >= 0 {
		return
	}
	f.tag = max(f.tag, h.time)
	f.at = len(h.heap)
	h.heap = append(h.heap, f)
	h.up(f.at)
}

func (h *flows) remove(f *flow) {
	i, n := f.at, len(h.heap)-1
	f.at = -1
	last := h.heap[n]
	h.heap[n] = nil
	h.heap = h.heap[:n]
	if i == n {
		return
	}
	h.heap[i], last.at = last, i
	h.up(i)
	h.down(last.at)
}

// served advances the first flow past one slice.
func (h *flows) served() {
	f := h.heap[0]
	h.time = f.tag
	f.tag += f.step
	h.down(0)
}

func (h *flows) up(i int) {
	f := h.heap[i]
	for i > 0 {
		p := (i - 1) / 2
		if h.heap[p].tag <= f.tag {
			break
		}
		h.heap[i], h.heap[p].at = h.heap[p], i
		i = p
	}
	h.heap[i], f.at = f, i
}

func (h *flows) down(i int) {
	f, n := h.heap[i], len(h.heap)
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h.heap[c+1].tag < h.heap[c].tag {
			c++
		}
		if h.heap[c].tag >= f.tag {
			break
		}
		h.heap[i], h.heap[c].at = h.heap[c], i
		i = c
	}
	h.heap[i], f.at = f, i
}

// run is a lane's part of a batch: items from its front with consecutive seqs.
type run struct {
	lane *Lane
	last *Item // of the run
	n    int
	old  bool   // at or below the acked seq: a slice that was handed in twice, alone in its run
	next int32  // in flow.grow
	err  error  // set by the worker: why the run stopped
	done int    // set by the worker: items acked
	seq  uint64 // of the last of them that the sink acked for the first time
	tip  canon.Digest
	why  verdict
}

// build fills b with at most slices slices and size octets, and takes the lanes out of the ready lists.
func (r *Router) build(b *batch, slices, size int) {
	room := size
	for b.n < slices && len(r.flows.heap) > 0 {
		f := r.flows.heap[0]
		if l := f.head; l != nil {
			it := l.head
			if b.n > 0 && (it.Size > room || l.solo) {
				break
			}
			f.pop()
			old := l.hasAcked && it.Seq <= l.acked
			b.runs = append(b.runs, run{lane: l, last: it, n: 1, old: old, next: -1})
			b.n++
			room -= it.Size
			if !old && !l.solo {
				f.growing(b.runs, int32(len(b.runs)-1))
			}
			r.flows.served()
			if l.solo {
				break
			}
			continue
		}
		i := f.grow
		if i < 0 {
			r.flows.remove(f)
			continue
		}
		run := &b.runs[i]
		f.shrinking(b.runs)
		it := run.last.next
		if it == nil || it.Seq != run.last.Seq+1 {
			continue // this run is as long as it gets
		}
		if it.Size > room {
			break
		}
		run.last = it
		run.n++
		b.n++
		room -= it.Size
		f.growing(b.runs, i)
		r.flows.served()
	}
	r.detach(b)
}

// growing puts run i at the end of the flow's ring.
func (f *flow) growing(runs []run, i int32) {
	runs[i].next = -1
	if f.growTail < 0 {
		f.grow = i
	} else {
		runs[f.growTail].next = i
	}
	f.growTail = i
}

// shrinking takes the first run off the ring.
func (f *flow) shrinking(runs []run) {
	f.grow = runs[f.grow].next
	if f.grow < 0 {
		f.growTail = -1
	}
}

// detach moves the chosen items from their lanes into the batch.
func (r *Router) detach(b *batch) {
	now := r.now()
	for i := range b.runs {
		run := &b.runs[i]
		l := run.lane
		f := r.flowOf(l)
		f.grow, f.growTail = -1, -1
		if f.head == nil && f.at >= 0 {
			r.flows.remove(f)
		}
		it := l.head
		for range run.n {
			next := it.next
			it.next = nil
			if it.Attempts == 0 {
				it.Held = l.blocked - it.held
			}
			it.Attempts++
			b.items = append(b.items, it)
			it = next
		}
		l.head = it
		if it == nil {
			l.tail = nil
		}
		l.state = inflight
		l.block(now)
	}
	r.readyLanes -= len(b.runs)
	r.queued -= b.n
	r.inflight += b.n
	r.inflightLanes += len(b.runs)
}

// push makes a lane with items ready.
func (r *Router) push(l *Lane) {
	f := r.flowOf(l)
	l.state = ready
	f.pushBack(l)
	r.flows.add(f)
	r.readyLanes++
}

// flowOf returns the share that the lane draws on.
func (r *Router) flowOf(l *Lane) *flow {
	if l.flow != nil {
		return l.flow
	}
	return &r.all
}
