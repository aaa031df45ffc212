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

	unheard       chan struct{} // tells listen that the sink has become mute
	stopListening func(until context.Context)

	mu      sync.Mutex // guards what follows; never held during a commit or a call to the sink
	closed  bool
	failed  error            // a commit's outcome is unknown
	unwell  error            // what the store's last maintenance said
	aside   int              // files in the directory of what was set aside
	suspect map[*stream]bool // the store's next slice of it is unreadable or lost
	cut     []*stream        // to be set aside by the committer
	open    bool             // the circuit: the sink does not answer
	mute    bool             // it did not say where a stream stands when it was last asked
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
	// forget is how many of the oldest acked slices and keys the store has not heard yet that they are not needed.
	forget [2]int
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

// fifo is a queue.
type fifo[T any] []T

func (f *fifo[T]) push(v T) { *f = append(*f, v) }

func (f *fifo[T]) pop() T {
	v := (*f)[0]
	var zero T
	(*f)[0] = zero
	*f = (*f)[1:]
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
	at      spot // in the store
	acked   ackedSlice
	retired bool              // acked, and on q.acked
	tries   int               // to read its body
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
	q := &Queue{o: o, store: inMemory{}, m: o.Metrics, log: o.Logger, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), unheard: make(chan struct{}, 1),
		streams: map[export.Stream]*stream{}, tenants: map[canon.ID]*share{}, seen: map[place]canon.Digest{}, keys: map[canon.Digest]keyRecord{}, suspect: map[*stream]bool{}}
	q.tipper, _ = o.Sink.Exporter.(export.Tipper)
	if o.Dir != "" {
		st, aside, err := openDir(&o)
		if err != nil {
			return nil, fmt.Errorf("accounting/ingress: %w", err)
		}
		q.store, q.disk, q.aside = st, true, aside
	}
	if o.seam != nil {
		q.store = o.seam(q.store)
	}
	var err error
	q.router, err = lane.New(lane.Config{Sink: o.Sink, Workers: o.Workers, LaneCapacity: o.LaneCapacity, Tuning: o.Tuning, Load: q.load,
		Hooks: q.hooks(), Logger: o.Logger})
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
	q.stopListening = func(context.Context) {}
	if q.tipper != nil {
		q.startListening()
	}
	return q, nil
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

// Tune changes the export's backoff, fairness and deadlines, serves again the streams that the sink had refused, and looks what is still set aside.
func (q *Queue) Tune(t lane.Tuning) error {
	if err := q.router.Tune(t); err != nil {
		return err
	}
	aside, err := 0, error(nil)
	if q.disk {
		if aside, err = countAside(q.o.Dir); err != nil {
			return fmt.Errorf("accounting/ingress: %w", err)
		}
	}
	q.mu.Lock()
	q.aside = aside
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

// Missing returns the readiness keys that are not met: the sink does not answer, the store has failed, is nearly full, or something was set aside.
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
	if q.open || q.mute || q.router.Stats().Stuck > 0 {
		out = append(out, pipeline.ExporterOK)
	}
	if q.failed != nil || q.unwell != nil || q.aside > 0 {
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
	Aside                         int // files of what was set aside
	Bytes, Resident               int64
}

// Stats returns what the queue holds now.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Slices: q.total.slices, Streams: len(q.streams), Halted: q.halted, Keys: len(q.keys), Aside: q.aside, Bytes: q.total.bytes, Resident: q.resident}
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
	q.stopListening(ctx)
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
