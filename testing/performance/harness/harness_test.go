package harness

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMeasureFindsTheSlowerOne(t *testing.T) {
	var calls atomic.Int64
	spin := func(us int) func(int, int) {
		return func(_, n int) {
			for range n {
				calls.Add(1)
				for end := time.Now().Add(time.Duration(us) * time.Microsecond); time.Now().Before(end); {
				}
			}
		}
	}
	rs := Measure([]Contender{{Name: "a", Run: spin(10), Bytes: 1000}, {Name: "b", Run: spin(40)}}, Config{Reps: 3, Target: 2 * time.Millisecond})
	if r := rs[1].NsOp / rs[0].NsOp; r < 1.5 || r > 12 {
		t.Errorf("ratio %.2f, want about 4", r)
	}
	if calls.Load() == 0 || len(rs[0].Reps) != 3 {
		t.Errorf("%d calls, %d repetitions", calls.Load(), len(rs[0].Reps))
	}
	var b strings.Builder
	Table(&b, "title", "a", rs)
	for _, want := range []string{"title", "median", "× a", "GB/s", "1.000"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestMeasureParallel(t *testing.T) {
	var per [2]atomic.Int64
	rs := Measure([]Contender{{Name: "a", Run: func(w, n int) { per[w].Add(int64(n)); time.Sleep(time.Millisecond) }}}, Config{Reps: 2, Target: 4 * time.Millisecond, Workers: 2})
	if per[0].Load() == 0 || per[0].Load() != per[1].Load() || rs[0].NsOp <= 0 {
		t.Errorf("workers did %d and %d operations", per[0].Load(), per[1].Load())
	}
}

func TestMedian(t *testing.T) {
	if Median(nil) != 0 || Median([]float64{1, 2, 9}) != 2 || Median([]float64{1, 3}) != 2 {
		t.Error("median of a sorted list is wrong")
	}
}
