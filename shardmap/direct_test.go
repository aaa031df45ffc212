package shardmap

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// TestDirectIsUsed: where the direct path is built it is used with this Go release.
func TestDirectIsUsed(t *testing.T) {
	if table.Pinned && runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && !table.Direct() {
		t.Errorf("%s: runtime.procPin is not what table/direct_amd64.go expects: counting goes the pinned way, which is right but slower", runtime.Version())
	}
}

// TestDirectFindsEveryKey: with the pinned way closed the direct path still counts each key that is there, also those that are not
// at their first place, handles too; and nothing else.
func TestDirectFindsEveryKey(t *testing.T) {
	if !table.Direct() {
		t.Skip("not built or not in use here; TestDirectIsUsed says where it must be")
	}
	const n = 5000
	m, err := NewWide(Config{Capacity: n, Columns: runtime.GOMAXPROCS(0)})
	if err != nil {
		t.Fatal(err)
	}
	m.OnMiss(missed)
	refused := 0
	m.OnRefused(func(WideKey, uint64) { refused++ })
	c, err := NewCompact(Config{Capacity: n, Columns: runtime.GOMAXPROCS(0)})
	if err != nil {
		t.Fatal(err)
	}
	c.OnMiss(func(CompactKey, uint64) error { return errMissed })
	compact := func(i int) CompactKey {
		return CompactKey{Tenant: uint64(i % 9), Subject: uint64(i), Namespace: uint32(i % 2), Dimension: uint8(i % 3)}
	}
	var hs []*WideCounter
	for i := range n {
		k, ck := key(i), compact(i)
		h, s := m.Counter(&k, 0)
		if s != OK || c.Insert(&ck, 0, 0) != OK {
			t.Fatal(i, s)
		}
		hs = append(hs, h)
	}
	for _, core := range []*table.Core{&m.Core, &c.Core} {
		gen := (*atomic.Pointer[table.Gen])(unsafe.Add(unsafe.Pointer(core), table.QuickOffset-unsafe.Sizeof(uintptr(0))))
		saved := gen.Swap(nil)
		defer gen.Store(saved)
	}
	for i := range n {
		k, ck := key(i), compact(i)
		if m.Record(&k, 3) != nil || c.Record(&ck, 5) != nil {
			t.Fatalf("key %d not counted", i)
		}
		hs[i].Count(4)
		for _, change := range []func(){func() { k.Tenant[3]++ }, func() { k.Subject[15] ^= 0x80 }, func() { k.Subject[0]++ }, func() { k.Tenant[9]++ }, func() { k.Namespace += 1 << 20 }, func() { k.Dimension += 100 }} {
			change()
			if m.Record(&k, 1) == nil {
				t.Fatalf("counted for a key that is not there: %+v", k)
			}
		}
		ck.Namespace += 10
		if c.Record(&ck, 1) == nil {
			t.Fatalf("counted for a key that is not there: %+v", ck)
		}
	}
	if refused > 0 {
		t.Errorf("%d increments of handles refused", refused)
	}
	big := key(1)
	if m.Record(&big, 1<<63) == nil {
		t.Error("an increment beyond a cell's limit was taken directly")
	}
	m.Scan()
	c.Scan()
	openWide, openCompact := m.Open(), c.Open()
	m.NewRows(m.Capacity(), func(row, _ uint32, k *WideKey) {
		if openWide[row] != 7 {
			t.Fatalf("%+v: got %d, want 7", *k, openWide[row])
		}
	})
	c.NewRows(c.Capacity(), func(row, _ uint32, k *CompactKey) {
		if openCompact[row] != 5 {
			t.Fatalf("%+v: got %d, want 5", *k, openCompact[row])
		}
	})
}
