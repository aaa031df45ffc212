package workload

import (
	"math/bits"
	"slices"

	accounting "github.com/ron-accounting/ron-accounting"
)

// BatchSize is the number of Record calls that are timed together.
const BatchSize = 64

// fewKeys is how many keys are kept ready: as many as leave most of a second-level cache to the recorder.
const fewKeys = 4096

// Batch is up to BatchSize increments, with the numbers of their keys.
type Batch struct {
	Keys  [BatchSize]Key
	Incs  [BatchSize]uint64
	Index [BatchSize]uint32
	N     int

	Errs   [BatchSize]error // set by Reject; only where Failed > 0
	Failed int
}

// Reject notes that increment i was refused with err.
func (b *Batch) Reject(i int, err error) {
	b.Errs[i] = err
	b.Failed++
}

// Generator makes one producer's rows. It is not safe for concurrent use.
type Generator struct {
	spec    Spec
	heads   []Key // a stream's keys but for the subject and the namespace
	keys    []Key // all keys, of a workload with few; nil else
	zipf    *alias
	state   uint64
	salt    uint64
	next    uint64 // number of the producer's next row among all rows, bursty workloads only
	stride  uint64
	step    uint64 // odd multiplier prime to Total: visits every key once a burst
	total   uint64
	incMask [256]uint32
}

// NewGenerator returns producer's generator, one of producers.
func NewGenerator(s Spec, producer, producers int) *Generator {
	g := &Generator{
		spec: s, salt: mix(s.Seed, 0x9e3779b97f4a7c15), total: uint64(s.Total()),
		next: uint64(producer), stride: uint64(producers),
		heads: make([]Key, s.Streams()),
	}
	g.state = mix(g.salt+uint64(producer)+1, 0xd1342543de82ef95)
	names := s.Names()
	for i := range g.heads {
		dim := slices.Index(names, s.Dims[i%len(s.Dims)])
		g.heads[i] = Key{Tenant: id(g.salt^0x7465, uint64(i/len(s.Dims))), Dimension: accounting.Dimension(dim)}
	}
	if s.Total() <= fewKeys {
		keys := make([]Key, s.Total())
		for i := range keys {
			keys[i] = g.Key(uint32(i))
		}
		g.keys = keys
	}
	if s.Zipf > 0 {
		g.zipf = newAlias(s.Keys, s.Zipf)
	}
	for g.step = g.total/2 + 12345; gcd(g.step, g.total) != 1; g.step++ {
	}
	for i := range g.incMask {
		g.incMask[i] = [...]uint32{0xffff, 0, 0xfff}[i%3] // bytes, requests, microseconds
	}
	return g
}

// Key returns key number i: the same for every generator of one seed.
func (g *Generator) Key(i uint32) Key {
	k := g.heads[int(i)/g.spec.Keys]
	g.finish(&k, uint64(i))
	return k
}

func (g *Generator) finish(k *Key, i uint64) {
	k.Subject = id(g.salt, i)
	k.Namespace = uint32(i & 3)
}

// Fill makes the next n ≤ BatchSize rows.
func (g *Generator) Fill(b *Batch, n int) {
	b.N, b.Failed = n, 0
	per := uint64(g.spec.Keys)
	for j := range n {
		r := g.random()
		var stream, key uint64
		switch {
		case g.spec.Every > 0:
			burst := g.spec.BurstRows()
			i := (g.next % burst) % g.total * g.step % g.total
			g.next += g.stride
			stream, key = i/per, i%per
		default:
			stream, _ = bits.Mul64(r<<32, uint64(len(g.heads)))
			switch {
			case g.zipf == nil:
				key, _ = bits.Mul64(r, per)
			case len(g.heads) == 1:
				key = uint64(g.zipf.pick(r))
			default: // the low half of r has chosen the stream
				key = uint64(g.zipf.pick(g.random()))
			}
		}
		i := stream*per + key
		k := &b.Keys[j]
		if g.keys != nil {
			*k = g.keys[i]
		} else {
			*k = g.heads[stream]
			g.finish(k, i)
		}
		b.Index[j] = uint32(i)
		b.Incs[j] = 1 + uint64(uint32(r>>16)&g.incMask[k.Dimension])
	}
}

// random is wyrand: a 64-bit counter through one wide multiplication.
func (g *Generator) random() uint64 {
	g.state += 0xa0761d6478bd642f
	return mix(g.state, 0xe7037ed1a0b428db)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, a^b)
	return hi ^ lo
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
