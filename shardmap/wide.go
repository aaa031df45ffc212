package shardmap

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// WideKey is the key of Wide.
type WideKey struct {
	Tenant    [16]byte
	Subject   [16]byte
	Namespace uint32
	Dimension uint8
}

// Wide is a map of counters by WideKey.
type Wide struct {
	table.Core
	miss func(WideKey, uint64) error
}

// OnMiss sets the slow path of Record: called where Add would not answer OK. Set it before the first Record.
func (m *Wide) OnMiss(fn func(k WideKey, inc uint64) error) { m.miss = fn }

// WideCounter is a key bound to its row, valid for ever.
type WideCounter = table.Handle

// NewWide makes an empty map.
func NewWide(cfg table.Config) (*Wide, error) {
	m := new(Wide)
	if err := m.Init(wideLayout, cfg); err != nil {
		return nil, err
	}
	return m, nil
}

var wideLayout = table.Layout{
	Name: "wide", Words: 8, StreamWord: 5, StreamShift: 0, StreamBits: 32, DimWord: 4, DimShift: 32,
	Hash: func(p *table.Packed, sd *table.Seed) (h, q uint64) { return wideHash(p[0], p[1], p[2], p[3], p[4], sd) },
}

// wideHash returns the hash h of a key and the seed q of its tag. q differs for keys that differ in the last word only,
// so that a slot with the tag and the words before it has the key.
func wideHash(w0, w1, w2, w3, w4 uint64, sd *table.Seed) (h, q uint64) {
	hi, lo := bits.Mul64(w0^sd[0], w1^sd[1])
	x, y := w2^hi^lo, w3^sd[2]+w4*sd[3]
	hi, lo = bits.Mul64(x, y)
	return hi ^ lo, x + y
}

func widePack(k *WideKey) (p table.Packed) {
	p[0] = binary.LittleEndian.Uint64(k.Tenant[:8])
	p[1] = binary.LittleEndian.Uint64(k.Tenant[8:])
	p[2] = binary.LittleEndian.Uint64(k.Subject[:8])
	p[3] = binary.LittleEndian.Uint64(k.Subject[8:])
	p[4] = uint64(k.Namespace) | uint64(k.Dimension)<<32
	return p
}

func wideUnpack(p *table.Packed, k *WideKey) {
	binary.LittleEndian.PutUint64(k.Tenant[:8], p[0])
	binary.LittleEndian.PutUint64(k.Tenant[8:], p[1])
	binary.LittleEndian.PutUint64(k.Subject[:8], p[2])
	binary.LittleEndian.PutUint64(k.Subject[8:], p[3])
	k.Namespace, k.Dimension = uint32(p[4]), uint8(p[4]>>32)
}

// Add counts inc on an existing key: OK, Absent (also where the increment needs the slow path) or Closed.
// k does not escape. Any number of goroutines may call it.
func (m *Wide) Add(k *WideKey, inc uint64) table.Status {
	t := m.Pin() // first: its call would spill what is computed before it
	g := m.Current()
	if g == nil {
		m.Unpin(t)
		return table.Closed
	}
	w0 := binary.LittleEndian.Uint64(k.Tenant[:8])
	w1 := binary.LittleEndian.Uint64(k.Tenant[8:])
	w2 := binary.LittleEndian.Uint64(k.Subject[:8])
	w3 := binary.LittleEndian.Uint64(k.Subject[8:])
	w4 := uint64(k.Namespace) | uint64(k.Dimension)<<32
	h, q := wideHash(w0, w1, w2, w3, w4, m.Seed())
	b := g.Bucket(h)
	row := g.First(b)
	s := table.Slot[[8]uint64](g, row)
	if atomic.LoadUint64(&s[7]) == table.Tag(q, row) && s[0] == w0 && s[1] == w1 && s[2] == w2 && s[3] == w3 {
		if p, ok := g.Own(t, row); ok {
			if n := *p + inc; n|inc < g.Limit() {
				*p = n
				m.Unpin(t)
				return table.OK
			}
		}
	}
	ok := wideFar(g, t, w0, w1, w2, w3, b, q, inc)
	m.Unpin(t)
	if ok {
		return table.OK
	}
	return table.Absent
}

// Record counts inc on an existing key and returns nil, or what the function given to OnMiss returns for a copy of the key.
// k does not escape. Any number of goroutines may call it.
func (m *Wide) Record(k *WideKey, inc uint64) error {
	t := m.Pin() // first: its call would spill what is computed before it
	g := m.Current()
	if g == nil {
		m.Unpin(t)
		return m.miss(*k, inc)
	}
	w0 := binary.LittleEndian.Uint64(k.Tenant[:8])
	w1 := binary.LittleEndian.Uint64(k.Tenant[8:])
	w2 := binary.LittleEndian.Uint64(k.Subject[:8])
	w3 := binary.LittleEndian.Uint64(k.Subject[8:])
	w4 := uint64(k.Namespace) | uint64(k.Dimension)<<32
	h, q := wideHash(w0, w1, w2, w3, w4, m.Seed())
	b := g.Bucket(h)
	row := g.First(b)
	s := table.Slot[[8]uint64](g, row)
	if atomic.LoadUint64(&s[7]) == table.Tag(q, row) && s[0] == w0 && s[1] == w1 && s[2] == w2 && s[3] == w3 {
		if p, ok := g.Own(t, row); ok {
			if n := *p + inc; n|inc < g.Limit() {
				*p = n
				m.Unpin(t)
				return nil
			}
		}
	}
	ok := wideFar(g, t, w0, w1, w2, w3, b, q, inc)
	m.Unpin(t)
	if ok {
		return nil
	}
	return m.miss(*k, inc)
}

// wideFar counts a key that is not at the first place, or whose cell can't simply be added to. Inside the pin.
//
//go:noinline
func wideFar(g *table.Gen, t int, w0, w1, w2, w3, b, q, inc uint64) bool {
	row := g.First(b)
	for first := true; ; first = false {
		s := table.Slot[[8]uint64](g, row)
		tag := atomic.LoadUint64(&s[7])
		if tag == table.Tag(q, row) && s[0] == w0 && s[1] == w1 && s[2] == w2 && s[3] == w3 {
			return g.Count(t, row, inc)
		}
		switch {
		case first:
			row = g.Home(b)
		case tag == 0:
			return false
		default:
			if row++; row == g.Slots() {
				row = 0
			}
		}
	}
}

// Insert finds the key's row or makes it, as a row of stream, and counts inc there: OK, Full or Closed.
func (m *Wide) Insert(k *WideKey, stream uint32, inc uint64) table.Status {
	p := widePack(k)
	h, q := wideHash(p[0], p[1], p[2], p[3], p[4], m.Seed())
	return m.Core.Insert(&p, h, q, stream, inc)
}

// Counter binds the key to its row, which is made, as a row of stream, if need be: OK, Full or Closed.
func (m *Wide) Counter(k *WideKey, stream uint32) (*WideCounter, table.Status) {
	p := widePack(k)
	h, q := wideHash(p[0], p[1], p[2], p[3], p[4], m.Seed())
	return m.Bind(&p, h, q, stream)
}

// NewRows tells of each row that the last Scan covers and that no earlier call told of.
func (m *Wide) NewRows(fn func(row, stream uint32, k *WideKey)) {
	var k WideKey
	m.EachNew(func(row, stream uint32, p *table.Packed) {
		wideUnpack(p, &k)
		fn(row, stream, &k)
	})
}
