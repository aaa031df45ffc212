package workload

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestGeneratorsAreDeterministicAndApart(t *testing.T) {
	for _, name := range Names {
		s, err := ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		var a, b, c Batch
		g, h := NewGenerator(s, 0, 2), NewGenerator(s, 0, 2)
		NewGenerator(s, 1, 2).Fill(&c, BatchSize)
		for range 100 {
			g.Fill(&a, BatchSize)
			h.Fill(&b, BatchSize)
			if a.Keys != b.Keys || a.Incs != b.Incs || a.Index != b.Index {
				t.Fatalf("%s: two generators of one seed differ", name)
			}
			for i := range a.N {
				if a.Keys[i] != g.Key(a.Index[i]) {
					t.Fatalf("%s: key %d is not what Key says", name, a.Index[i])
				}
				if a.Incs[i] == 0 || int(a.Keys[i].Dimension) >= len(s.Dims) {
					t.Fatalf("%s: row %+v of %d", name, a.Keys[i], a.Incs[i])
				}
			}
		}
		if a.Index == c.Index {
			t.Errorf("%s: two producers make the same rows", name)
		}
	}
}

// Dimensions are named in any order, and keys have the recorder's numbers of them.
func TestDimensionsInAnyOrder(t *testing.T) {
	s, _ := ByName("w2")
	s.Dims, s.Tenants = []string{"gpu", "cpu", "disk"}, 1
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	g, names := NewGenerator(s, 0, 1), s.Names()
	for i, want := range s.Dims {
		if k := g.Key(uint32(i * s.Keys)); names[k.Dimension] != want {
			t.Errorf("stream %d: got %s, want %s", i, names[k.Dimension], want)
		}
	}
	if got := s.Extra(); !slices.Equal(got, []string{"gpu", "disk"}) {
		t.Errorf("beyond the built-in ones: got %v", got)
	}
}

func TestKeysAreDistinct(t *testing.T) {
	s, _ := ByName("w2")
	g := NewGenerator(s, 0, 1)
	seen := make(map[Key]bool, s.Total())
	for i := range s.Total() {
		seen[g.Key(uint32(i))] = true
	}
	if len(seen) != s.Total() || s.Total() != 300_000 || s.Streams() != 3000 {
		t.Errorf("%d distinct keys of %d", len(seen), s.Total())
	}
}

// Zipf's law within three standard deviations for the keys that matter.
func TestZipf(t *testing.T) {
	s, _ := ByName("w1")
	g := NewGenerator(s, 0, 1)
	const rows = 200_000
	count := make([]float64, s.Keys)
	var b Batch
	for range rows / BatchSize {
		g.Fill(&b, BatchSize)
		for i := range b.N {
			count[b.Index[i]]++
		}
	}
	sum := 0.0
	for k := range s.Keys {
		sum += math.Pow(float64(k+1), -s.Zipf)
	}
	for _, k := range []int{0, 1, 2, 9, 99} {
		want := rows * math.Pow(float64(k+1), -s.Zipf) / sum
		if math.Abs(count[k]-want) > 4*math.Sqrt(want) {
			t.Errorf("key %d: %v times, want %.0f", k, count[k], want)
		}
	}
}

// A burst visits each key once, whatever the number of producers.
func TestBurstIsDistinct(t *testing.T) {
	s, _ := ByName("w3")
	seen := make([]int, s.Total())
	var b Batch
	for p := range 3 {
		g := NewGenerator(s, p, 3)
		left := (s.Total() - p + 2) / 3
		for left > 0 {
			n := min(left, BatchSize)
			g.Fill(&b, n)
			left -= n
			for i := range b.N {
				seen[b.Index[i]]++
			}
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("key %d was visited %d times", i, n)
		}
	}
}

func TestSchedule(t *testing.T) {
	w1, _ := ByName("w1")
	w3, _ := ByName("w3")
	for _, c := range []struct {
		s    Spec
		row  uint64
		due  time.Duration
		till time.Duration
		rows uint64
	}{
		{w1, 50_000, time.Second, 10 * time.Second, 500_000},
		{w3, 100_000, 500 * time.Millisecond, 10 * time.Second, 200_000},
		{w3, 200_000, 10 * time.Second, 10500 * time.Millisecond, 300_000},
	} {
		if got := c.s.Due(c.row); got != c.due {
			t.Errorf("%s row %d: due %v, want %v", c.s.Name, c.row, got, c.due)
		}
		if got := c.s.Rows(c.till); got != c.rows {
			t.Errorf("%s until %v: %d rows, want %d", c.s.Name, c.till, got, c.rows)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	s := Spec{Tenants: 0, Dims: []string{"a", "a"}, Keys: 0, Rate: 0, Zipf: -1}
	err := s.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != 5 {
		t.Errorf("%d faults, want 5: %v", n, err)
	}
	if _, err := ByName("w9"); err == nil {
		t.Error("w9 accepted")
	}
}

func BenchmarkFill(b *testing.B) {
	for _, name := range Names {
		s, _ := ByName(name)
		g := NewGenerator(s, 0, 1)
		var batch Batch
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g.Fill(&batch, BatchSize)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/BatchSize, "ns/row")
		})
	}
}
