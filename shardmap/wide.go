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
type Wide struct{ table.Core }

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

// wideHash returns the hash h of a key, whose high half is the home, and q, which for equal first four words differs
// where the last differs.
func wideHash(w0, w1, w2, w3, w4 uint64, sd *table.Seed) (h, q uint64) {
	hi, lo := bits.Mul64(w0^sd[0], w1^sd[1])
	a := hi ^ lo
	hi, lo = bits.Mul64(w2^sd[2], w3^sd[3])
	b := hi ^ lo
	hi, lo = bits.Mul64(a^w4, b)
	return hi ^ lo, (a ^ bits.RotateLeft64(b, 32)) + w4*0x9e3779b97f4a7c15
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
	w0 := binary.LittleEndian.Uint64(k.Tenant[:8])
	w1 := binary.LittleEndian.Uint64(k.Tenant[8:])
	w2 := binary.LittleEndian.Uint64(k.Subject[:8])
	w3 := binary.LittleEndian.Uint64(k.Subject[8:])
	w4 := uint64(k.Namespace) | uint64(k.Dimension)<<32
	h, q := wideHash(w0, w1, w2, w3, w4, m.Seed())
	t := m.Pin()
	g := m.Current()
	if g == nil {
		m.Unpin(t)
		return table.Closed
	}
	for row := g.Home(h); ; {
		s := table.Slot[[8]uint64](g, row)
		tag := atomic.LoadUint64(&s[7])
		if tag == table.Tag(q, row) && s[0] == w0 && s[1] == w1 && s[2] == w2 && s[3] == w3 {
			if !g.Count(t, row, inc) {
				break
			}
			m.Unpin(t)
			return table.OK
		}
		if tag == 0 {
			break
		}
		if row++; row == g.Slots() {
			row = 0
		}
	}
	m.Unpin(t)
	return table.Absent
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
