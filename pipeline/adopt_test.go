package pipeline

import (
	"context"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// adoptModel is a pipeline and, written plainly, what must have been sealed of each key.
type adoptModel struct {
	t       testing.TB
	p       *Pipeline
	clock   *fakeClock
	keys    []Key
	counted map[Key]uint64
	sealed  map[Key]uint64
}

// adoptKeys spreads keys over ids: dense, random, and crafted to fall together. They are of many streams; of one, where alike is 1; where it is 2, of one
// namespace too, so that the ids alone tell the order.
func adoptKeys(n int, alike uint64, rng *rand.Rand) []Key {
	keys := make([]Key, n)
	for i := range keys {
		k := Key{Tenant: canon.IDFromUint64(uint64(rng.IntN(5))), Namespace: rng.Uint32() >> rng.IntN(33), Dimension: Dimension(rng.IntN(2))}
		switch rng.IntN(3) {
		case 0:
			k.Subject = canon.IDFromUint64(uint64(i))
		case 1:
			binary.BigEndian.PutUint64(k.Subject[:], rng.Uint64())
			binary.BigEndian.PutUint64(k.Subject[8:], rng.Uint64())
		case 2:
			k.Namespace = uint32(i&1) << 31
			k.Subject[0], k.Subject[7], k.Subject[14], k.Subject[15] = byte(i&2)<<6, byte(i&4), byte(i>>8), byte(i)
		}
		if alike > 0 {
			k.Tenant, k.Dimension = canon.IDFromUint64(1), 1
		}
		if alike > 1 {
			k.Namespace = 7
		}
		keys[i] = k
	}
	return keys
}

func (o *adoptModel) step(op, arg byte) {
	switch op % 8 {
	case 0, 1, 2, 3: // some keys, known or not
		from := int(arg) * len(o.keys) / 256
		for i := range min(1<<(op>>4), len(o.keys)) {
			k := o.keys[(from+i)%len(o.keys)]
			if o.p.RecordSlow(&k, 1+uint64(arg)) == nil { // a full map refuses
				o.counted[k] += 1 + uint64(arg)
			}
		}
	case 4:
		o.p.adoptAhead()
	case 5: // only a part is taken before what follows
		o.p.sealMu.Lock()
		if o.p.m.Notice() > 0 {
			o.p.adoptBatch(o.p.streams.all())
		}
		o.p.sealMu.Unlock()
	case 6:
		o.seal()
	case 7: // the window ends: it is sealed, and idle rows are evicted
		o.clock.advance(time.Duration(1+arg%3) * 300 * time.Second)
		o.seal()
	}
}

// seal compares what the slices hold, whose rows canon has checked to ascend, and the orders with the shard map's rows.
func (o *adoptModel) seal() {
	out, err := o.p.SealNow(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	for _, s := range out {
		s, err := canon.Decode(s.Bytes())
		if err != nil {
			o.t.Fatal(err)
		}
		h := s.Head()
		for _, r := range s.Rows() {
			o.sealed[Key{h.Tenant, r.Subject, r.Namespace, Dimension(slices.Index(o.p.dims, h.Dimension))}] += r.Inc
		}
	}
	if !maps.Equal(o.sealed, o.counted) {
		o.t.Fatalf("sealed differs from counted: %d and %d keys", len(o.sealed), len(o.counted))
	}
	n := 0
	for _, s := range o.p.streams.all() {
		n += len(s.rows)
		for i := range s.keys {
			if i > 0 && s.keys[i-1].Compare(&s.keys[i]) >= 0 {
				o.t.Fatalf("keys %d and %d are out of order", i-1, i)
			}
		}
	}
	if n != o.p.m.Len() || n != o.p.s.adopted {
		o.t.Fatalf("%d rows in the orders, %d in the map, %d adopted", n, o.p.m.Len(), o.p.s.adopted)
	}
}

func newAdoptModel(t testing.TB, keys []Key, capacity int) *adoptModel {
	c := &fakeClock{wall: at(36000)}
	p, err := New(Options{Clock: c, CapacityRows: capacity, IdleWindows: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return &adoptModel{t: t, p: p, clock: c, keys: keys, counted: map[Key]uint64{}, sealed: map[Key]uint64{}}
}

// TestAdoptModel goes through insertion, adoption ahead and in part, seals, evictions and the return of evicted keys.
func TestAdoptModel(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 11))
		n := 1 + rng.IntN(1500)
		o := newAdoptModel(t, adoptKeys(n, seed%3, rng), max(n*(1+rng.IntN(4))/3, 1))
		for range 100 {
			o.step(byte(rng.Uint32()), byte(rng.Uint32()))
		}
		o.seal()
	}
}

func FuzzAdopt(f *testing.F) {
	f.Add(uint64(1), []byte{0xf0, 1, 4, 0, 7, 0, 0x80, 9, 7, 1, 7, 1, 0xf1, 77, 6, 0})
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		o := newAdoptModel(t, adoptKeys(700, seed%3, rand.New(rand.NewPCG(seed, 1))), 600)
		for i := 0; i+1 < len(b) && i < 400; i += 2 {
			o.step(b[i], b[i+1])
		}
		o.seal()
	})
}

// TestTickerAdopts: new rows are in their streams' orders before the boundary, in batches, and the seal has none to take.
func TestTickerAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows = leastBatch + 5
		p := open(t, Options{CapacityRows: rows, Window: time.Minute}, &ledger{})
		for i := range uint64(rows) {
			p.count(t, i%7, i, 1)
		}
		time.Sleep(2 * mostSleep)
		p.sealMu.Lock()
		adopted, left := p.s.adopted, p.m.Notice()
		p.sealMu.Unlock()
		if adopted != rows || left != 0 {
			t.Errorf("%d rows adopted, %d left, want %d and 0", adopted, left, rows)
		}
		time.Sleep(p.o.Window)
		if u := balanced(t, p); u.Open != 0 {
			t.Errorf("open after the boundary: %v", u.Open)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestAdoptSteadyStateDoesNotAllocate: without new rows the ticker's look costs no memory, and a batch of them only the orders' own.
func TestAdoptSteadyStateDoesNotAllocate(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	p.count(t, 1, 1, 1)
	p.adoptAhead()
	if n := testing.AllocsPerRun(100, func() { p.adoptAhead() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
