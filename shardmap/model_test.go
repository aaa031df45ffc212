package shardmap

import (
	"math"
	"math/rand/v2"
	"testing"
)

// model is what the map must do, written plainly: counted and sealed units by key, exact.
type model struct {
	t       testing.TB
	m       *Wide
	keys    []WideKey
	counted map[WideKey]U128
	sealed  map[WideKey]U128
	handles map[WideKey]*WideCounter
	rows    map[uint32]WideKey
	refused bool // the last increment of a handle
}

func newModel(t testing.TB, capacity, keys, columns int) *model {
	m, err := NewWide(Config{Capacity: capacity, Columns: columns, Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	o := &model{t: t, m: m, counted: map[WideKey]U128{}, sealed: map[WideKey]U128{}, handles: map[WideKey]*WideCounter{}, rows: map[uint32]WideKey{}}
	m.OnMiss(missed)
	m.OnRefused(func(WideKey, uint64) { o.refused = true })
	for i := range keys {
		o.keys = append(o.keys, key(i))
	}
	return o
}

var increments = [...]uint64{0, 1, 2, 77, 1 << 24, 1 << 40, 1 << 57, 1<<61 - 1, 1 << 61, 1 << 62, 1<<62 + 5, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}

func (o *model) step(op, arg byte) {
	k := o.keys[int(arg)%len(o.keys)]
	inc := increments[int(op>>3)%len(increments)]
	switch op & 7 {
	case 0, 1, 2, 3:
		if record(o.t, o.m, k, inc) {
			o.counted[k] = o.counted[k].Add(U128{Lo: inc})
		} else if _, ok := o.counted[k]; ok && o.isThere(k) {
			o.t.Fatalf("existing key refused")
		}
	case 4:
		h := o.handles[k]
		if h == nil {
			var s Status
			if h, s = o.m.Counter(&k, uint32(k.Dimension)); s != OK {
				return
			}
			o.handles[k] = h
		}
		o.refused = false
		if arg&1 == 0 {
			o.refused = h.Add(inc) != OK
		} else {
			h.Count(inc)
		}
		if !o.refused {
			o.counted[k] = o.counted[k].Add(U128{Lo: inc})
		}
	case 5, 6:
		o.seal(arg, op>>3)
	case 7:
		if op>>3&1 == 1 {
			o.m.Notice()
			o.hear(int(arg >> 4)) // not all
		}
		o.sweep(1 + int(arg%3))
	}
}

// hear takes note of at most most new rows.
func (o *model) hear(most int) {
	before := len(o.rows)
	left := o.m.NewRows(most, func(row, stream uint32, k *WideKey) {
		if _, ok := o.rows[row]; ok || stream != uint32(k.Dimension) {
			o.t.Fatalf("row %d told of twice, or stream %d is wrong", row, stream)
		}
		o.rows[row] = *k
	})
	if n := len(o.rows) - before; n > most || left > 0 && n < most {
		o.t.Fatalf("%d rows told of, of %d asked for; %d left", n, most, left)
	}
}

// sweep lets the map renumber its rows: those that were told of move, and are not told of again.
func (o *model) sweep(idle int) {
	rep, err := o.m.Sweep(idle)
	if err != nil {
		o.t.Fatal(err)
	}
	if rep.Rebuilt == (rep.Moves == nil) {
		o.t.Fatalf("%+v", rep)
	}
	if !rep.Rebuilt {
		return
	}
	rows := map[uint32]WideKey{}
	for row, k := range o.rows {
		if to := rep.Moves[row]; to != 0 {
			rows[to-1] = k
		} else if o.counted[k] != o.sealed[k] {
			o.t.Fatalf("row %d left out with open units", row)
		}
	}
	o.rows = rows
}

func (o *model) isThere(k WideKey) bool { return o.m.Add(&k, 0) == OK }

// seal checks every row against the model, then commits with some rows kept, or aborts.
func (o *model) seal(arg, sel byte) {
	n := o.m.Scan()
	o.hear(o.m.Capacity())
	if len(o.rows) != n {
		o.t.Fatalf("%d rows told of, scan covers %d", len(o.rows), n)
	}
	over := map[uint32]U128{}
	for _, s := range o.m.Saturated() {
		over[s.Row] = s.Units
	}
	covered, counts := map[WideKey]bool{}, o.m.Open()
	for row, k := range o.rows {
		covered[k] = true
		want := o.counted[k].Sub(o.sealed[k])
		if got := (U128{Lo: counts[row]}).Add(over[row]); got != want {
			o.t.Fatalf("open of %v: got %v, want %v", k, got, want)
		}
		if !over[row].IsZero() && counts[row] != math.MaxUint64 {
			o.t.Fatalf("saturated row not clamped")
		}
	}
	for k := range o.counted {
		if !covered[k] && o.counted[k] != o.sealed[k] {
			o.t.Fatalf("lost %v", k)
		}
	}
	if arg%5 == 0 {
		o.m.Abort()
		return
	}
	for row, k := range o.rows {
		if sel&1 == 1 && row%3 == 0 {
			o.m.Keep(row)
			continue
		}
		o.sealed[k] = o.counted[k]
	}
	o.m.Commit()
	var rec, open [4]U128
	o.m.Totals(rec[:], open[:])
	var wantRec, wantOpen [4]U128
	for k, c := range o.counted {
		wantRec[k.Dimension] = wantRec[k.Dimension].Add(c)
		wantOpen[k.Dimension] = wantOpen[k.Dimension].Add(c.Sub(o.sealed[k]))
	}
	if rec != wantRec || open != wantOpen {
		o.t.Fatalf("totals: got %v %v, want %v %v", rec, open, wantRec, wantOpen)
	}
}

func (o *model) end() {
	o.m.Close()
	o.m.Close()
	k := o.keys[0]
	if o.m.Add(&k, 1) != Closed || o.m.Insert(&k, 0, 1) != Closed {
		o.t.Fatal("takes more after Close")
	}
	if _, s := o.m.Counter(&k, 0); s != Closed {
		o.t.Fatal("binds after Close")
	}
	for _, h := range o.handles {
		if h.Add(1) != Closed {
			o.t.Fatal("handle counts after Close")
		}
	}
	o.seal(1, 0)
}

func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		o := newModel(t, 1+r.IntN(60), 1+r.IntN(120), r.IntN(4))
		for range 400 {
			o.step(byte(r.Uint32()), byte(r.Uint32()))
		}
		o.end()
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 5, 1, 7, 0, 4, 3, 5, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := newModel(t, 5, 9, 2)
		for i := 0; i+1 < len(b) && i < 2000; i += 2 {
			o.step(b[i], b[i+1])
		}
		o.end()
	})
}
