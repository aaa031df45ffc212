package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// Queue stages foreign slices and exports them. All methods may be called from any goroutine.
type Queue struct {
	o      Options
	store  store
	disk   bool // store outlives the process
	router *lane.Router
	tipper export.Tipper // nil: the sink is none
	m      *pipeline.Metrics
	log    *slog.Logger
	kick   chan struct{} // tells the committer that there is work
	stop   chan struct{} // closed by Close when nothing more comes
	done   chan struct{} // closed by the committer

	mu      sync.Mutex // guards what follows; never held during a commit or a call to the sink
	closed  bool
	failed  error
	open    bool // the circuit: the sink does not answer
	waiting []*request
	acks    []*entry // acked, and not yet taken out of the store
	streams map[export.Stream]*stream
	tenants map[canon.ID]*share
	total   share
	// resident is how many bytes of staged slices are in memory.
	resident int64
	halted   int

	seen  map[place]canon.Digest // every staged slice, and the Horizon last acked
	acked fifo[place]
	keys  map[canon.Digest]keyRecord
	order fifo[canon.Digest] // the keys by age
	next  uint64             // number of the next staged slice
}

// share is what one tenant, or all together, have staged.
type share struct {
	bytes  int64
	slices int
}

// place is a slice's place in its stream.
type place struct {
	s   *stream
	seq uint64
}

// fifo numbers what is pushed to it; first is the number of the oldest.
type fifo[T any] struct {
	first uint64
	items []T
}

func (f *fifo[T]) push(v T) uint64 {
	f.items = append(f.items, v)
	return f.first + uint64(len(f.items)) - 1
}

func (f *fifo[T]) pop() T {
	v := f.items[0]
	var zero T
	f.items[0] = zero
	f.items = f.items[1:]
	f.first++
	return v
}

// stream is one foreign chain. Guarded by Queue.mu.
type stream struct {
	name   export.Stream
	lane   *lane.Lane
	tip    canon.Head // of the last accepted slice; times are 0 where the sink named the tip
	digest canon.Digest
	tipOK  bool // false: it begins
	staged int
	used   time.Time
	halted error // why the sink refuses its next slice for good
}

// entry is one staged slice.
type entry struct {
	item    lane.Item
	s       *stream
	n       uint64 // in the store
	acked   numbered[ackedSlice]
	slice   canon.SealedSlice // zero: the body is only in the store
	digest  canon.Digest
	size    int64
	release func()
	before  struct { // the stream's tip, should the commit fail
		head   canon.Head
		digest canon.Digest
		ok     bool
	}
}

// Open validates o, recovers what is staged and starts to export it.
func Open(o Options) (*Queue, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	q := &Queue{o: o, store: inMemory{}, m: o.Metrics, log: o.Logger, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		streams: map[export.Stream]*stream{}, tenants: map[canon.ID]*share{}, seen: map[place]canon.Digest{}, keys: map[canon.Digest]keyRecord{}, next: 1}
	q.tipper, _ = o.Sink.Exporter.(export.Tipper)
	if o.Dir != "" {
		b, err := openBolt(o.Dir)
		if err != nil {
			return nil, err
		}
		q.store, q.disk = b, true
	}
	if o.seam != nil {
		q.store = o.seam(q.store)
	}
	var err error
	q.router, err = lane.New(lane.Config{Sink: o.Sink, Workers: o.Workers, LaneCapacity: o.LaneCapacity, Tuning: o.Tuning, Load: q.load,
		Hooks: q.hooks(), Logger: o.Logger.With("sink", o.Sink.Name)})
	if err != nil {
		return nil, errors.Join(err, q.store.close())
	}
	if err := q.recover(); err != nil {
		cut, cancel := context.WithCancel(context.Background())
		cancel()
		_ = q.router.Close(cut) // what it says is left is still in the store
		return nil, errors.Join(fmt.Errorf("accounting/ingress: recovery: %w", err), q.store.close())
	}
	go q.commits()
	return q, nil
}

// recover brings back what the store holds, and hands the staged slices to their lanes.
func (q *Queue) recover() error {
	var items []*lane.Item
	err := q.store.replay(func(n uint64, d canon.Digest, b []byte) error {
		s, err := canon.ViewSummed(b, d) // the digest is checked when the body is needed
		if err != nil {
			q.m.WALCorrupt.Inc()
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		h := s.Head()
		st := q.stream(export.StreamOf(h))
		st.move(h, d)
		e := &entry{s: st, n: n, digest: d, size: int64(len(b))}
		e.acked.v = ackedSlice{st.name, h.Seq, d, h.WindowStartS, h.WindowEndS, h.SealedAtMS}
		e.item = lane.Item{Lane: st.lane, Seq: h.Seq, Size: len(b), User: e}
		q.hold(e)
		items = append(items, &e.item)
		q.next = max(q.next, n+1)
		return nil
	}, func(n uint64, a ackedSlice) error {
		st := q.stream(a.stream)
		st.move(canon.Head{Seq: a.seq, WindowStartS: a.windowStart, WindowEndS: a.windowEnd, SealedAtMS: a.at}, a.digest)
		q.seen[place{st, a.seq}] = a.digest
		if len(q.acked.items) == 0 {
			q.acked.first = n
		}
		q.acked.push(place{st, a.seq})
		return nil
	}, func(n uint64, k keyRecord) error {
		if len(q.order.items) == 0 {
			q.order.first = n
		}
		q.keys[k.key] = k
		q.order.push(k.key)
		return nil
	})
	if err != nil {
		return err
	}
	if len(items) > 0 {
		q.log.Info("staged slices recovered", "slices", len(items), "bytes", q.total.bytes)
	}
	_, err = q.router.Enqueue(items...)
	q.publish()
	return err
}

// stream returns the stream of that name, made where there is none. Under mu.
func (q *Queue) stream(name export.Stream) *stream {
	st := q.streams[name]
	if st == nil {
		st = &stream{name: name, lane: q.router.Lane(name)}
		q.streams[name] = st
	}
	return st
}

// move sets the tip; an older slice (an ack that is replayed) does not move it back.
func (st *stream) move(h canon.Head, d canon.Digest) {
	if st.tipOK && h.Seq <= st.tip.Seq {
		return
	}
	st.tip = canon.Head{Writer: st.name.Writer, Tenant: st.name.Tenant, Dimension: st.name.Dimension, Seq: h.Seq,
		WindowStartS: h.WindowStartS, WindowEndS: h.WindowEndS, SealedAtMS: h.SealedAtMS}
	st.digest, st.tipOK = d, true
}

// hold books a staged slice. Under mu, or before the queue is shared.
func (q *Queue) hold(e *entry) {
	t := q.tenants[e.s.name.Tenant]
	if t == nil {
		t = &share{}
		q.tenants[e.s.name.Tenant] = t
	}
	for _, s := range []*share{t, &q.total} {
		s.bytes += e.size
		s.slices++
	}
	e.s.staged++
	q.seen[place{e.s, e.item.Seq}] = e.digest
}

// drop undoes hold, but for what is seen. Under mu.
func (q *Queue) drop(e *entry) {
	t := q.tenants[e.s.name.Tenant]
	for _, s := range []*share{t, &q.total} {
		s.bytes -= e.size
		s.slices--
	}
	if t.slices == 0 {
		delete(q.tenants, e.s.name.Tenant)
	}
	e.s.staged--
}

// Tune changes the export's backoff, fairness and deadlines, and serves again the streams that the sink had refused.
func (q *Queue) Tune(t lane.Tuning) error {
	if err := q.router.Tune(t); err != nil {
		return err
	}
	q.mu.Lock()
	var stopped []*stream
	for _, st := range q.streams {
		if st.halted != nil {
			stopped = append(stopped, st)
			st.halted = nil
		}
	}
	q.halted = 0
	q.mu.Unlock()
	for _, st := range stopped {
		st.lane.Restart()
	}
	return nil
}

// Missing returns the readiness keys that are not met: the sink does not answer, the store has failed or is nearly full.
func (q *Queue) Missing() []pipeline.ReadyKey {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []pipeline.ReadyKey
	if q.closed {
		out = append(out, pipeline.ConfigLoaded)
	}
	if q.full(&q.total, q.o.MaxBytes/10, max(1, q.o.MaxSlices/10), 1) {
		out = append(out, pipeline.QueuesBoundedOK)
	}
	if q.open || q.router.Stats().Stuck > 0 {
		out = append(out, pipeline.ExporterOK)
	}
	if q.failed != nil {
		out = append(out, pipeline.WALOK)
	}
	return out
}

// full reports whether s has no room for so much more within its part of the bounds.
func (q *Queue) full(s *share, bytes int64, slices int, part float64) bool {
	return float64(s.bytes+bytes) > float64(q.o.MaxBytes)*part || float64(s.slices+slices) > float64(q.o.MaxSlices)*part
}

// Stats is what the queue holds.
type Stats struct {
	Slices, Streams, Halted, Keys int
	Bytes, Resident               int64
}

// Stats returns what the queue holds now.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Slices: q.total.slices, Streams: len(q.streams), Halted: q.halted, Keys: len(q.keys), Bytes: q.total.bytes, Resident: q.resident}
}

// Close takes nothing more, exports what is staged until ctx ends, and closes the store. What is left is exported after the next
// Open; without a directory the error says how much was lost.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.closed = true
	q.mu.Unlock()
	_ = q.router.Drain(ctx) // what is left is told below
	rerr := q.router.Close(ctx)
	var left *lane.DrainError
	if errors.As(rerr, &left) {
		rerr = nil
	}
	close(q.stop)
	<-q.done
	q.mu.Lock()
	n := q.total.slices
	q.mu.Unlock()
	if n > 0 && !q.disk {
		rerr = errors.Join(rerr, fmt.Errorf("%w: ingress: %d slices were accepted, not exported, and kept in memory only", export.ErrTimeout, n))
	} else if n > 0 {
		q.log.Info("slices stay staged", "slices", n)
	}
	return errors.Join(rerr, q.store.close())
}

// forgetIdle makes room for a stream by forgetting those that have been idle longest; their tips are asked of the sink when they come
// back. It reports whether there is room. Under mu.
func (q *Queue) forgetIdle() bool {
	var idle []*stream
	for _, st := range q.streams {
		if st.staged == 0 && st.halted == nil {
			idle = append(idle, st)
		}
	}
	slices.SortFunc(idle, func(a, b *stream) int { return a.used.Compare(b.used) })
	for _, st := range idle[:min(len(idle), 1+q.o.MaxStreams/16)] {
		if q.router.Forget(st.lane) {
			delete(q.streams, st.name)
		}
	}
	return len(q.streams) < q.o.MaxStreams
}
