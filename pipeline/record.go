package pipeline

import (
	"github.com/ron-accounting/ron-accounting/shardmap"
)

// RecordSlow is Record where the shard map could not count at once: a key not seen before, a map without room, a closed
// recorder, an unknown dimension. Safe for concurrent use.
func (p *Pipeline) RecordSlow(k *Key, n uint64) error {
	if int(k.Dimension) >= len(p.dims) {
		return &DimensionError{k.Dimension, p.dims}
	}
	if p.closed.Load() {
		p.reject(k.Dimension, n, "")
		return ErrClosed
	}
	if n == 0 {
		return nil
	}
	id, err := p.streamFor(k, n)
	if err != nil {
		return err
	}
	switch p.m.Insert(k.Wide(), id, n) {
	case shardmap.OK:
		return nil
	case shardmap.Closed:
		p.reject(k.Dimension, n, "")
		return ErrClosed
	}
	p.reject(k.Dimension, n, "capacity")
	return ErrBusy
}

// Handle returns a bound handle to k's row, making the row where there is none.
func (p *Pipeline) Handle(k *Key) (*shardmap.WideCounter, error) {
	if int(k.Dimension) >= len(p.dims) {
		return nil, &DimensionError{k.Dimension, p.dims}
	}
	if p.closed.Load() {
		return nil, ErrClosed
	}
	id, err := p.streamFor(k, 0)
	if err != nil {
		return nil, err
	}
	switch c, st := p.m.Counter(k.Wide(), id); st {
	case shardmap.OK:
		return c, nil
	case shardmap.Closed:
		return nil, ErrClosed
	}
	p.metrics.Rejected.WithLabelValues("capacity").Inc()
	return nil, ErrBusy
}

// HandleRefused accounts for units that a handle could not count: the recorder is closed, or the map is full and the row was evicted.
func (p *Pipeline) HandleRefused(dim Dimension, n uint64) {
	reason := "capacity"
	if p.closed.Load() {
		reason = ""
	}
	p.reject(dim, n, reason)
}

// streamFor returns the id of k's stream, made where it is new.
func (p *Pipeline) streamFor(k *Key, n uint64) (uint32, error) {
	sk := streamKey{k.Tenant, k.Dimension}
	if id, ok := p.streams.get(sk); ok {
		return id, nil
	}
	if p.m.Len() >= p.o.CapacityRows { // a key that would be refused must not take a stream's place
		p.reject(k.Dimension, n, "capacity")
		return 0, ErrBusy
	}
	id, ok := p.streams.add(sk, func(id uint32) *stream { return p.newStream(id, sk) })
	if !ok {
		p.reject(k.Dimension, n, "streams")
		return 0, ErrBusy
	}
	return id, nil
}

// reject counts units that were not recorded; reason is a label of rejected_total, or "" where that has none.
func (p *Pipeline) reject(dim Dimension, n uint64, reason string) {
	p.books.edit(dim, func(b *book) { b.rejected = b.rejected.Add(u64(n)) })
	if reason != "" {
		p.metrics.Rejected.WithLabelValues(reason).Inc()
	}
}
