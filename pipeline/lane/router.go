package lane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Router exports the slices of many streams to one sink. All methods may be called from several goroutines, but the
// items of one stream must be enqueued in order, so by one goroutine at a time.
type Router struct {
	cfg     Config
	batcher export.BatchExporter // nil: the sink takes slices one by one
	start   time.Time            // zero of the router's clock
	recent  *recent
	ctx     context.Context // of all calls; cancelled by Close when its time is up
	cancel  context.CancelFunc
	kick    chan struct{} // tells the timekeeper that something is due earlier
	done    chan struct{} // closed when the last worker and the timekeeper are gone
	running sync.WaitGroup

	mu      sync.Mutex
	work    sync.Cond // workers wait for runnable
	waiting int       // workers that do
	closing bool
	paused  bool

	lanes   map[export.Stream]*Lane
	lastID  uint32
	tenants map[canon.ID]*flow // under WFQ
	all     flow               // under RoundRobin
	flows   flows

	rests   rests
	circuit circuit
	drain   drains
	rand    *rand.Rand
	limit   limit
	calls   []call

	queued, inflight                                    int // items
	readyLanes, inflightLanes, restingLanes, haltedLane int
	haltedItems                                         int
	stuck                                               int // calls that ignore their deadline
	lastErr                                             error
	restLog                                             sampled
	watching                                            time.Duration // when the timekeeper looks next
}

// New validates cfg and starts the router's goroutines: Workers of them and one for time. Close ends them.
func New(cfg Config) (*Router, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Tuning = cfg.Tuning.clone()
	r := &Router{
		cfg:    cfg,
		start:  time.Now(),
		recent: newRecent(cfg.Horizon),
		kick:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		lanes:  make(map[export.Stream]*Lane),
		all:    *newFlow(1),
		limit:  limit{now: cfg.MaxBatchSlices, most: cfg.MaxBatchSlices},
		calls:  make([]call, cfg.Workers),
	}
	r.work.L = &r.mu
	r.batcher, _ = cfg.Sink.Exporter.(export.BatchExporter)
	if r.batcher == nil {
		r.limit = limit{now: 1, most: 1}
	}
	if cfg.Fairness == WFQ {
		r.tenants = make(map[canon.ID]*flow)
	}
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r.rand = rand.New(rand.NewPCG(seed, 0))
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Add(cfg.Workers + 1)
	for i := range cfg.Workers {
		go r.worker(i)
	}
	go r.keepTime()
	go func() {
		r.running.Wait()
		close(r.done)
	}()
	return r, nil
}

// Name returns the sink's name.
func (r *Router) Name() string { return r.cfg.Sink.Name }

// now reads the router's clock: monotonic, zero at New.
func (r *Router) now() time.Duration { return time.Since(r.start) }

// Lane returns the stream's lane, which is made at the first call. It is kept until Forget.
func (r *Router) Lane(s export.Stream) *Lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lanes[s]; l != nil {
		return l
	}
	r.lastID++
	l := &Lane{r: r, stream: s, id: r.lastID}
	if r.tenants != nil {
		l.flow = r.tenant(s.Tenant)
	}
	r.lanes[s] = l
	return l
}

// tenant returns the tenant's flow under WFQ.
func (r *Router) tenant(id canon.ID) *flow {
	f := r.tenants[id]
	if f == nil {
		f = newFlow(r.cfg.Weights[id])
		r.tenants[id] = f
	}
	f.lanes++
	return f
}

// Forget drops an idle lane, whose stream is no longer sealed. It reports false where the lane still has slices.
func (r *Router) Forget(l *Lane) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.state != idle || l.head != nil || r.lanes[l.stream] != l {
		return false
	}
	delete(r.lanes, l.stream)
	if l.flow != nil {
		if l.flow.lanes--; l.flow.lanes == 0 {
			delete(r.tenants, l.stream.Tenant)
		}
	}
	return true
}

// Enqueue hands committed slices to their lanes: per lane by ascending seq, without a hole but where the slice declares a
// gap. A seq that the lane had before is a slice handed in twice (see the package comment). The lane's capacity is not
// checked. It returns how many it took: all of them, or those before the one that the error names.
func (r *Router) Enqueue(items ...*Item) (int, error) {
	const chunk = 1024 // bounds how long the workers are kept from the mutex
	for n := 0; n < len(items); n += chunk {
		part := items[n:min(n+chunk, len(items))]
		if k, err := r.enqueue(part); err != nil {
			return n + k, err
		}
	}
	return len(items), nil
}

// Offer is Enqueue of one item that is refused, with ErrFull, where the lane holds LaneCapacity.
func (r *Router) Offer(it *Item) error {
	if it.Lane != nil && it.Lane.r == r && it.Lane.Room() == 0 {
		return fmt.Errorf("%w: %v holds %d", ErrFull, it.Lane, it.Lane.Len())
	}
	_, err := r.enqueue([]*Item{it})
	return err
}

func (r *Router) enqueue(items []*Item) (int, error) {
	wall := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	defer r.wake()
	for i, it := range items {
		if err := r.admit(it); err != nil {
			return i, err
		}
		if it.EnqueuedAt.IsZero() {
			it.EnqueuedAt = wall
		}
		l := it.Lane
		if it.Slice != nil {
			it.Size = len(it.Slice.Bytes())
		}
		it.Held, it.Attempts, it.held, it.gen = 0, 0, l.blockedClock(now), r.drain.open(1)
		if !l.hasLast || it.Seq > l.last {
			l.last, l.hasLast = it.Seq, true
		}
		l.append(it)
		l.n.Add(1)
		r.queued++
		switch l.state {
		case idle:
			r.push(l)
		case halted:
			r.haltedItems++
		}
	}
	return len(items), nil
}

// admit checks that the item may be queued behind what its lane has.
func (r *Router) admit(it *Item) error {
	l := it.Lane
	switch {
	case r.closing:
		return ErrClosed
	case l == nil || l.r != r:
		return fmt.Errorf("accounting/lane: enqueue seq %d: got a lane of another router or none", it.Seq)
	case it.Slice == nil && r.cfg.Load == nil:
		return fmt.Errorf("accounting/lane: enqueue %v seq %d: got no slice, and Config.Load is not set", l, it.Seq)
	case it.Slice != nil && !l.owns(it):
		return fmt.Errorf("accounting/lane: enqueue %v seq %d: got a slice of %v seq %d", l, it.Seq, export.StreamOf(it.Slice.Head()), it.Slice.Head().Seq)
	case !l.hasLast || it.Seq <= l.last || it.Seq == l.last+1:
		return nil
	case it.Slice != nil:
		if g := it.Slice.Head().Gap; g == nil || g.From > l.last+1 {
			return fmt.Errorf("%w: %v: got seq %d, want %d or a gap from there", ErrOrder, l, it.Seq, l.last+1)
		}
	}
	return nil // a body that is not in memory: its head is seen when it is loaded
}

// Pause lets no new call start; those in flight end as they do.
func (r *Router) Pause() {
	r.mu.Lock()
	r.paused = true
	r.mu.Unlock()
}

// Resume undoes Pause.
func (r *Router) Resume() {
	r.mu.Lock()
	r.paused = false
	r.wake()
	r.mu.Unlock()
}

// Tune changes what may be changed while running. Zero fields get their defaults, as in New.
func (r *Router) Tune(t Tuning) error {
	t.setDefaults()
	if err := t.validate(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Tuning = t.clone()
	var waiting []*Lane
	for len(r.flows.heap) > 0 {
		f := r.flows.heap[0]
		for f.head != nil {
			waiting = append(waiting, f.pop())
		}
		r.flows.remove(f)
	}
	r.tenants = nil
	if t.Fairness == WFQ {
		r.tenants = make(map[canon.ID]*flow)
	}
	for s, l := range r.lanes {
		l.flow = nil
		if r.tenants != nil {
			l.flow = r.tenant(s.Tenant)
		}
	}
	r.readyLanes -= len(waiting)
	for _, l := range waiting {
		r.push(l)
	}
	r.wake()
	return nil
}
