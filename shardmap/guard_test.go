package shardmap

import (
	"math/bits"
	"testing"

	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// crafted returns n distinct keys that have one home under seed: the last multiplication is by x = 1.
func crafted(n int, sd *table.Seed) []CompactKey {
	ks := make([]CompactKey, n)
	for i := range ks {
		// y = (subject ^ sd[2]) + 0, x = tenant ^ sd[0] = 1: h = y, chosen with equal high halves.
		ks[i] = CompactKey{Tenant: sd[0] ^ 1, Subject: sd[2] ^ (0xabcdef01<<32 | uint64(i))}
	}
	return ks
}

// TestFlood: with a known seed keys can be made to collide, and the map still counts right; under the random seed the
// same keys spread.
func TestFlood(t *testing.T) {
	seed := table.Seed{11, 22, 33, 45, 55, 66}
	const n = 2000
	ks := crafted(n, &seed)
	longest := func(m *Compact, sd *table.Seed) int {
		homes := map[uint64]int{}
		most := 0
		for i := range ks {
			if s := m.Insert(&ks[i], 0, uint64(i)); s != OK {
				t.Fatal(s)
			}
			h, _ := compactHash(ks[i].Tenant, ks[i].Subject, 0, sd)
			b := h >> 32 * n >> 32
			homes[b]++
			most = max(most, homes[b])
		}
		m.Scan()
		open := m.Open()
		m.NewRows(m.Capacity(), func(row, _ uint32, k *CompactKey) {
			i := (k.Subject ^ seed[2]) & 0xffffffff
			if open[row] != i {
				t.Fatalf("key %d: got %d", i, open[row])
			}
		})
		m.Commit()
		return most
	}
	known, err := NewCompact(Config{Capacity: n, Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	if l := longest(known, known.Seed()); l != n {
		t.Fatalf("crafted keys: %d of %d in one home: the test's attack is broken", l, n)
	}
	secret, err := NewCompact(Config{Capacity: n})
	if err != nil {
		t.Fatal(err)
	}
	if l := longest(secret, secret.Seed()); l > 2*bits.Len(n) {
		t.Fatalf("random seed: %d keys in one home", l)
	}
}

func TestAllocs(t *testing.T) {
	m, err := NewWide(Config{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	m.OnMiss(func(k WideKey, inc uint64) error { m.Insert(&k, 0, inc); return nil })
	h, _ := m.Counter(&WideKey{}, 0)
	i := 0
	for name, f := range map[string]func(){
		"Record": func() { k := key(i % 500); i++; _ = m.Record(&k, 3) },
		"Insert": func() { k := key(i % 500); i++; m.Insert(&k, 0, 1<<62) },
		"Handle": func() { h.Add(1) },
		"Seal":   func() { m.Scan(); m.NewRows(m.Capacity(), func(uint32, uint32, *WideKey) {}); m.Commit() },
	} {
		f()
		if n := testing.AllocsPerRun(1000, f); n > 0 && name != "Seal" || n > 2 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for _, c := range []Config{{}, {Capacity: -1}, {Capacity: 1<<31 - 1}, {Capacity: 1, Partitions: 3}, {Capacity: 1, Columns: -1}} {
		if m, err := NewWide(c); err == nil || m != nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}
