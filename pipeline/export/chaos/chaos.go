package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// remembered is how many older slices a reordering network may deliver late.
const remembered = 32

// Exporter is what New returns: an export.Exporter that may also be an export.BatchExporter and an export.Tipper, as the wrapped one is.
type Exporter interface {
	export.Exporter
	Stats() Stats
}

// Stats counts the faults injected, in calls.
type Stats struct {
	Calls, Remote5xx, Late, Lost, Disconnects, Hangs, Dups, Reorders, Outages int64
}

// chaos is the wrapper without the optional interfaces.
type chaos struct {
	inner export.Exporter
	batch export.BatchExporter // nil where inner is none
	spec  Spec
	seed  uint64
	start time.Time
	calls atomic.Uint64

	counts [faults]atomic.Int64

	mu    sync.Mutex
	older []canon.SealedSlice // clones of slices that were processed, for late delivery
}

const (
	f5xx = iota
	fLate
	fLost
	fDisconnect
	fHang
	fDup
	fReorder
	fOutage
	faults
)

// New wraps inner. The outage clock starts now.
func New(inner export.Exporter, s Spec, seed uint64) Exporter {
	c := &chaos{inner: inner, spec: s, seed: seed, start: time.Now()}
	c.batch, _ = inner.(export.BatchExporter)
	tip, tips := inner.(export.Tipper)
	switch {
	case c.batch != nil && tips:
		return struct {
			batching
			tipping
		}{batching{c}, tipping{c, tip}}
	case c.batch != nil:
		return batching{c}
	case tips:
		return struct {
			*chaos
			tipping
		}{c, tipping{c, tip}}
	}
	return c
}

type batching struct{ *chaos }

func (b batching) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	return b.put(ctx, slices)
}

type tipping struct {
	c   *chaos
	tip export.Tipper
}

// Tip fails with the network: in an outage, and by the shares of 5xx and disconnect.
func (t tipping) Tip(ctx context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	d := t.c.draw()
	err := t.c.refused("handshake", d)
	if err == nil && d.disconnect {
		t.c.counts[fDisconnect].Add(1)
		err = broken("handshake", syscall.ECONNRESET)
	}
	if err != nil {
		return 0, canon.Digest{}, false, err
	}
	return t.tip.Tip(ctx, s)
}

// Stats returns the faults injected so far.
func (c *chaos) Stats() Stats {
	n := func(f int) int64 { return c.counts[f].Load() }
	return Stats{Calls: int64(c.calls.Load()), Remote5xx: n(f5xx), Late: n(fLate), Lost: n(fLost), Disconnects: n(fDisconnect),
		Hangs: n(fHang), Dups: n(fDup), Reorders: n(fReorder), Outages: n(fOutage)}
}

// Put is one call of one slice.
func (c *chaos) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := c.put(ctx, []canon.SealedSlice{s})
	return r[0].Ack, r[0].Err
}

// draws is one call's fate.
type draws struct {
	rng                                                *rand.Rand
	remote, late, lost, disconnect, hang, dup, reorder bool
	latency                                            time.Duration
}

// draw decides the next call's fate from the seed and the call's number.
func (c *chaos) draw() (d draws) {
	n := c.calls.Add(1)
	era := rand.New(rand.NewPCG(c.seed, ^(n / 64))) // the shares in force
	d.rng = rand.New(rand.NewPCG(c.seed, n))
	hit := func(s Shares) bool {
		share := s.Min + era.Float64()*(s.Max-s.Min)
		return d.rng.Float64() < share
	}
	s := &c.spec
	d.remote, d.late, d.lost, d.disconnect = hit(s.Remote5xx), hit(s.Tail), hit(s.Lost), hit(s.Disconnect)
	d.hang, d.dup, d.reorder = hit(s.Hang), hit(s.Dup), hit(s.Reorder)
	d.latency = s.TailLatency.Min + time.Duration(d.rng.Int64N(int64(s.TailLatency.Max-s.TailLatency.Min)+1))
	return d
}

// refused returns the error of a call that reaches nobody or is turned away at once.
func (c *chaos) refused(op string, d draws) error {
	if c.down(time.Since(c.start)) {
		c.counts[fOutage].Add(1)
		return broken(op, syscall.ECONNREFUSED)
	}
	if d.remote {
		c.counts[f5xx].Add(1)
		status := [...]int{500, 502, 503}[d.rng.IntN(3)]
		return &export.RemoteError{Op: op, Status: status, Err: fmt.Errorf("accounting/chaos: injected")}
	}
	return nil
}

// down says whether an outage is on at this time after the start.
func (c *chaos) down(t time.Duration) bool {
	t -= c.spec.OutageAt
	if c.spec.OutageFor == 0 || t < 0 {
		return false
	}
	if c.spec.OutageEvery > 0 {
		t %= c.spec.OutageEvery
	}
	return t < c.spec.OutageFor
}

func broken(op string, err error) error {
	return &export.RemoteError{Op: op, Err: fmt.Errorf("accounting/chaos: injected: %w", err)}
}

func (c *chaos) put(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	d := c.draw()
	if err := c.refused("put", d); err != nil {
		return failed(len(slices), err)
	}
	if d.late {
		c.counts[fLate].Add(1)
		if err := sleep(ctx, d.latency); err != nil {
			return failed(len(slices), err)
		}
	}
	if d.hang {
		c.counts[fHang].Add(1)
		if d.rng.IntN(2) == 0 {
			c.pass(ctx, slices)
		}
		<-ctx.Done()
		return failed(len(slices), context.Cause(ctx))
	}
	if d.reorder {
		c.counts[fReorder].Add(1)
		c.reorder(ctx, slices, d.rng)
	}
	if d.disconnect {
		c.counts[fDisconnect].Add(1)
		if n := d.rng.IntN(len(slices)); n > 0 {
			c.pass(ctx, slices[:n])
		}
		return failed(len(slices), broken("put", syscall.ECONNRESET))
	}
	if d.dup {
		c.counts[fDup].Add(1)
		c.pass(ctx, slices)
	}
	out := c.pass(ctx, slices)
	if d.lost {
		c.counts[fLost].Add(1)
		return failed(len(slices), broken("put", syscall.ECONNRESET))
	}
	c.remember(slices, out, d.rng)
	return out
}

// pass gives slices to the true exporter.
func (c *chaos) pass(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	if c.batch != nil {
		return c.batch.PutBatch(ctx, slices)
	}
	out := make([]export.Result, len(slices))
	for i, s := range slices {
		out[i].Ack, out[i].Err = c.inner.Put(ctx, s)
	}
	return out
}

// reorder lets the ledger see what it must refuse or know: a later part of the call first, and older slices again.
// Its answers go nowhere.
func (c *chaos) reorder(ctx context.Context, slices []canon.SealedSlice, rng *rand.Rand) {
	if at := rng.IntN(len(slices)); at > 0 {
		c.pass(ctx, slices[at:])
	}
	c.mu.Lock()
	var old canon.SealedSlice
	if len(c.older) > 0 {
		old = c.older[rng.IntN(len(c.older))]
	}
	c.mu.Unlock()
	if !old.IsZero() {
		c.pass(ctx, []canon.SealedSlice{old})
	}
}

// remember keeps one of the acked slices, cloned, since the caller's bytes end with the call.
func (c *chaos) remember(slices []canon.SealedSlice, out []export.Result, rng *rand.Rand) {
	if c.spec.Reorder.Max == 0 || len(out) != len(slices) {
		return
	}
	i := rng.IntN(len(slices))
	if out[i].Err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.older) < remembered {
		c.older = append(c.older, slices[i].Clone())
		return
	}
	c.older[rng.IntN(remembered)] = slices[i].Clone()
}

func failed(n int, err error) []export.Result {
	out := make([]export.Result, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
