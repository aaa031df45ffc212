package performance

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ron-accounting/ron-accounting/testing/performance/peers"
)

// BenchmarkRecord is keyed counting by every contender, in Go's format: one hot key, then 80/20 of more. For ratios use cmd/compare,
// which interleaves them.
func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 10_000, 200_000} {
		keys, seqs := peers.Keys(n), peers.Sequences(n, n == 1, 1)
		for _, m := range peers.Makers() {
			b.Run(fmt.Sprintf("keys=%d/counter=%s", n, name(m.Name)), func(b *testing.B) {
				c, err := m.New(keys)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				loop(c, seqs, 0, b.N)
				b.StopTimer()
				if got := c.Total(); got != uint64(b.N) {
					b.Errorf("counted %d of %d", got, b.N)
				}
				closeCounting(b, c)
			})
		}
	}
}

// BenchmarkRecordParallel is one hot key from all cores: wall time.
func BenchmarkRecordParallel(b *testing.B) {
	keys, seqs := peers.Keys(1), peers.Sequences(1, true, 1)
	for _, m := range peers.Makers() {
		b.Run("keys=1/counter="+name(m.Name), func(b *testing.B) {
			c, err := m.New(keys)
			if err != nil {
				b.Fatal(err)
			}
			var done atomic.Uint64
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() { // a hundred at a time: the loop is not what is measured
					loop(c, seqs, int(done.Add(1)), 100)
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/record")
			if got := c.Total(); got != done.Load()*100 {
				b.Errorf("counted %d of %d", got, done.Load()*100)
			}
			closeCounting(b, c)
		})
	}
}

// BenchmarkSeal2k is a whole seal of 2,048 rows by every contender, the counting before each not measured.
func BenchmarkSeal2k(b *testing.B) {
	ss, err := peers.Sealers(2048)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range ss {
		b.Cleanup(func() {
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
		b.Run("by="+name(s.Name), func(b *testing.B) {
			d, err := s.Seal(b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(d.Nanoseconds())/float64(b.N), "ns/seal")
		})
	}
}

// TestCountersAgree: every contender counts what it was asked to, one thread and several.
func TestCountersAgree(t *testing.T) {
	const n = 100
	keys, seqs := peers.Keys(n), peers.Sequences(n, false, 1)
	for _, m := range peers.Makers() {
		c, err := m.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); loop(c, seqs, 1, 5000) }()
		loop(c, seqs, 2, 7000)
		<-done
		if got := c.Total(); got != 12_000 {
			t.Errorf("%s counted %d of 12000", m.Name, got)
		}
		closeCounting(t, c)
	}
}

// TestPasts: recorders with a past count exactly.
func TestPasts(t *testing.T) {
	keys, seqs := peers.Keys(500), peers.Sequences(500, false, 1)
	for _, g := range []peers.Grown{{Name: "windows", Windows: 20}, {Name: "tenants", Windows: 1, Tenants: 3000}, {Name: "evictions", Windows: 10, Evictions: 300_000}} {
		c, err := g.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		loop(c, seqs, 0, 5000)
		if got := c.Total(); got != 5000 {
			t.Errorf("%s: counted %d of 5000", g.Name, got)
		}
		closeCounting(t, c)
	}
}

// loop counts n increments of the sequences, beginning with one of them.
func loop(c peers.Counting, seqs [][]uint32, from, n int) {
	for i := from; n > 0; i++ {
		seq := seqs[i%len(seqs)]
		seq = seq[:min(n, len(seq))]
		c.Loop(seq)
		n -= len(seq)
	}
}

func closeCounting(t testing.TB, c peers.Counting) {
	if c.Close != nil {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// name makes a contender's name fit for a benchmark's.
func name(s string) string {
	return strings.Trim(strings.NewReplacer(" ", "-", "[", "", "]", "", "{", "-", "}", "", ";", "", "(", "", ")", "").Replace(s), "-")
}
