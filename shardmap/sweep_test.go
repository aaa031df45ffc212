package shardmap

import "testing"

// A sweep moves the table for a sixteenth of the capacity, or for a quarter of the room that is left, and not for less: with short windows
// a few idle keys would cost a rebuild each second.
func TestSweepWherePays(t *testing.T) {
	const capacity = 1600
	for _, c := range []struct {
		rows, idle int
		want       bool
	}{
		{1000, 99, false}, {1000, 100, true},
		{1500, 24, false}, {1500, 25, true}, // 100 free
		{1600, 1, true}, {1600, 0, false},
	} {
		m, err := NewWide(Config{Capacity: capacity, Columns: 2, Partitions: 64})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.rows {
			record(t, m, key(i), 1)
		}
		m.Scan()
		m.Commit()
		for i := c.idle; i < c.rows; i++ {
			record(t, m, key(i), 1)
		}
		r, err := m.Sweep(1)
		if err != nil || r.Rebuilt != c.want || c.want && (r.Evicted != c.idle || r.Rows != c.rows-c.idle) {
			t.Errorf("%d of %d rows, %d idle: rebuilt %v, %d evicted, %d rows, %v; want a rebuild: %v", c.rows, capacity, c.idle, r.Rebuilt, r.Evicted, r.Rows, err, c.want)
		}
		m.Close()
	}
}
