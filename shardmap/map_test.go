package shardmap

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

func key(i int) (k WideKey) {
	binary.BigEndian.PutUint64(k.Tenant[8:], uint64(i%7))
	binary.BigEndian.PutUint64(k.Subject[8:], uint64(i))
	k.Namespace, k.Dimension = uint32(i%3), uint8(i%3)
	return
}

var errMissed = errors.New("missed")

func missed(WideKey, uint64) error { return errMissed }

func record(t testing.TB, m *Wide, k WideKey, n uint64) bool {
	if m.miss == nil {
		m.OnMiss(missed)
	}
	if m.Record(&k, n) == nil {
		return true
	}
	switch s := m.Insert(&k, uint32(k.Dimension), n); s {
	case OK:
		return true
	case Full, Closed:
		return false
	default:
		t.Fatalf("insert: %v", s)
		return false
	}
}

func TestQuick(t *testing.T) {
	m, err := NewWide(Config{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if !record(t, m, key(i), uint64(i)) {
			t.Fatal(i)
		}
	}
	if record(t, m, key(1000), 1) {
		t.Fatal("beyond capacity")
	}
	record(t, m, key(5), math.MaxUint64)
	record(t, m, key(5), math.MaxUint64)
	if n := m.Scan(); n != 1000 {
		t.Fatal(n)
	}
	byRow := map[uint32]WideKey{}
	m.NewRows(m.Capacity(), func(row, stream uint32, k *WideKey) { byRow[row] = *k })
	if len(byRow) != 1000 {
		t.Fatal(len(byRow))
	}
	open := m.Open()
	for r, k := range byRow {
		i := binary.BigEndian.Uint64(k.Subject[8:])
		want := i
		if i == 5 {
			want = math.MaxUint64
		}
		if open[r] != want {
			t.Fatal(i, open[r])
		}
	}
	if o := m.Saturated(); len(o) != 1 || o[0].Units != (U128{Hi: 1, Lo: 4}) {
		t.Fatal(o)
	}
	m.Commit()
	m.Scan()
	open = m.Open()
	for r := range byRow {
		if open[r] != 0 {
			t.Fatal(r)
		}
	}
	m.Commit()
}

func TestQuickStress(t *testing.T) {
	m, _ := NewWide(Config{Capacity: 500})
	m.OnMiss(missed) // before the first Record, which record itself can't promise to several
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := uint64(0)
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			h, _ := m.Counter(&WideKey{Namespace: 77}, 9)
			sum := uint64(0)
			for i := range 60000 {
				k := key(i/200 + r.IntN(40))
				if record(t, m, k, 3) {
					sum += 3
				}
				if h.Add(2) == OK {
					sum += 2
				}
			}
			mu.Lock()
			total += sum
			mu.Unlock()
		})
	}
	done := make(chan bool)
	go func() { wg.Wait(); close(done) }()
	sealed := uint64(0)
	seal := func() {
		m.Scan()
		for r, o := range m.Open() {
			if o != 0 && rand.IntN(4) == 0 {
				m.Keep(uint32(r))
				continue
			}
			sealed += o
		}
		if rand.IntN(5) == 0 {
			for r := range m.Open() {
				_ = r
			}
		}
		m.Commit()
	}
	reb := 0
	for end := false; !end; {
		select {
		case <-done:
			end = true
		default:
		}
		seal()
		r, err := m.Sweep(3)
		if err != nil {
			t.Fatal(err)
		}
		if r.Rebuilt {
			reb++
		}
	}
	m.Close()
	m.Scan()
	for _, o := range m.Open() {
		sealed += o
	}
	m.Commit()
	var rec [3]U128
	m.Totals(rec[:], nil)
	t.Log(total, sealed, rec, reb)
	if total != sealed {
		t.Fatal("lost")
	}
	k := key(1)
	if m.Add(&k, 1) != Closed || m.Insert(&k, 0, 1) != Closed {
		t.Fatal("closed")
	}
}

// TestOpenOutlivesTheMap: what Open has handed out can be read when the map is gone, and its memory with it.
func TestOpenOutlivesTheMap(t *testing.T) {
	open := func() []uint64 {
		m, err := NewWide(Config{Capacity: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			k := key(i)
			if s := m.Insert(&k, 0, 1); s != OK {
				t.Fatal(s)
			}
		}
		m.Scan()
		return m.Open()
	}()
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	for range 20 { // cleanups run some time after a collection
		runtime.GC()
		time.Sleep(time.Millisecond)
		sum := uint64(0)
		for _, o := range open {
			sum += o
		}
		if sum != 100 {
			t.Fatalf("got %d, want 100", sum)
		}
	}
}

// TestManyNewRows: of a map larger than the cache many new rows are told of in the order in which they lie in memory, each once, batch after batch.
func TestManyNewRows(t *testing.T) {
	m, err := NewWide(Config{Capacity: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, n := range []int{8000, 10, 8000, 5000, 1} {
		first := made
		for ; made < first+n; made++ {
			k := key(made)
			if s := m.Insert(&k, uint32(made), uint64(made)+1); s != OK {
				t.Fatal(s)
			}
		}
		m.Scan()
		open, told := m.Open(), map[uint32]bool{}
		last, ascending := -1, true
		left := m.NewRows(m.Capacity(), func(row, stream uint32, k *WideKey) {
			if i := int(stream); i < first || i >= made || *k != key(i) || open[row] != uint64(i)+1 || told[stream] {
				t.Fatalf("row %d of keys from %d on is number %d, %v, with %d open", row, first, i, *k, open[row])
			}
			told[stream] = true
			ascending = ascending && int(row) > last
			last = int(row)
		})
		if left != 0 || len(told) != n {
			t.Fatalf("told of %d new rows, %d left, want %d", len(told), left, n)
		}
		if n >= 5000 && !ascending {
			t.Errorf("%d new rows are not in the order of memory", n)
		}
		m.Commit()
	}
}
