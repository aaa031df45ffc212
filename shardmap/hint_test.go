package shardmap

import "testing"

// TestHints: a full map finds most keys at the first look; without hints it would be three in five.
func TestHints(t *testing.T) {
	m, err := NewWide(Config{Capacity: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	ks := benchKeys(100_000)
	for _, k := range ks {
		if s := m.Insert(&k, 0, 1); s != OK {
			t.Fatal(s)
		}
	}
	n := 0
	for _, k := range ks {
		p := widePack(&k)
		h, q := wideHash(p[0], p[1], p[2], p[3], p[4], m.Seed())
		if m.AtFirst(&p, h, q) {
			n++
		}
	}
	t.Logf("%.1f %% at the first look", float64(n)/1000)
}
