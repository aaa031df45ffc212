package result

import "testing"

// Memory is judged at the workload's rate and without faults; a loss always.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name         string
		offered, rss float64
		lost         string
		chaos, pass  bool
	}{
		{"good", 1e5, 95, "0", false, true},
		{"too large", 1e5, 97, "0", false, false},
		{"too large at full speed", 0, 97, "0", false, true},
		{"too large in an outage", 1e5, 97, "0", true, true},
		{"a unit lost at full speed", 0, 5, "1", false, false},
		{"a unit lost in an outage", 1e5, 5, "1", true, false},
	} {
		r := &Result{Profile: "micronode"}
		r.Rate.Offered, r.RSS.Steady, r.Conservation = c.offered, c.rss, Conservation{Lost: c.lost, Double: "0"}
		if r.Judge(c.chaos); r.Pass != c.pass || len(r.SLO) != 11 {
			t.Errorf("%s: passed %v with %d levels, want %v with 11", c.name, r.Pass, len(r.SLO), c.pass)
		}
	}
}

// Where nothing but the first burst was sealed there is no figure, and so no mark.
func TestNoSteadySeal(t *testing.T) {
	r := &Result{Profile: "micronode", Conservation: Conservation{Lost: "0", Double: "0"}}
	if r.Judge(false); r.level("seal_p99_us").Note == "" || !r.Pass {
		t.Errorf("passed %v, %+v", r.Pass, r.level("seal_p99_us"))
	}
	r.Seal.PerSlice.P99 = 9
	if r.Judge(false); r.level("seal_p99_us").Note != "" {
		t.Errorf("got %+v", r.level("seal_p99_us"))
	}
}
