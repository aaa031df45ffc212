package gate

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func ten(v float64) (out []float64) {
	for i := range 10 {
		out = append(out, v*(1+float64(i)/1000))
	}
	return out
}

func goodBaseline() Baseline {
	return Baseline{Schema: 1, Commit: "0123456789abcdef", Host: ThisHost("bench host"), BenchTime: "50ms",
		Rows: []BaselineRow{{Row{"Record/keys=1", TimeOp}, ten(6)}}}
}

func TestBaselines(t *testing.T) {
	dir := t.TempDir()
	b := goodBaseline()
	path := b.PathBelow(filepath.Join(dir, "baselines"))
	if want := filepath.Join("baselines", HostDir(b.Host), "0123456789abcdef.json"); !strings.HasSuffix(path, want) || !strings.HasPrefix(HostDir(b.Host), "bench-host-") {
		t.Errorf("path %s, want it to end in %s", path, want)
	}
	if err := b.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := ReadBaseline(path)
	if err != nil || len(back.Rows) != 1 || back.fits(ThisHost("")) != nil {
		t.Fatalf("read back %+v, %v", back, err)
	}
	other := ThisHost("")
	other.CPU = "another"
	if err := back.fits(other); !errors.Is(err, ErrBaseline) || !strings.Contains(err.Error(), "--against") {
		t.Errorf("another machine: got %v", err)
	}
	for name, change := range map[string]func(*Baseline){
		"schema":    func(b *Baseline) { b.Schema = 2 },
		"commit":    func(b *Baseline) { b.Commit = "../../x" },
		"host":      func(b *Baseline) { b.Host.CPU = "" },
		"no rows":   func(b *Baseline) { b.Rows = nil },
		"few":       func(b *Baseline) { b.Rows[0].Values = b.Rows[0].Values[:3] },
		"negative":  func(b *Baseline) { b.Rows[0].Values[0] = -1 },
		"duplicate": func(b *Baseline) { b.Rows = append(b.Rows, b.Rows[0]) },
		"nameless":  func(b *Baseline) { b.Rows[0].Name = "" },
	} {
		b := goodBaseline()
		change(&b)
		j, _ := json.Marshal(b)
		path := filepath.Join(dir, "bad.json")
		if err := os.WriteFile(path, j, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBaseline(path); !errors.Is(err, ErrBaseline) || !strings.Contains(err.Error(), "--write-baseline") {
			t.Errorf("%s: got %v, want ErrBaseline with what to do", name, err)
		}
		if err := b.Write(path); err == nil {
			t.Errorf("%s: such a baseline was written", name)
		}
	}
	for name, content := range map[string]string{"text": "hello", "list": "[]", "unknown field": `{"schema":1,"rowz":[]}`, "two objects": `{"schema":1}{}`} {
		path := filepath.Join(dir, "bad.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBaseline(path); !errors.Is(err, ErrBaseline) {
			t.Errorf("%s: got %v, want ErrBaseline", name, err)
		}
	}
}

func TestWaivers(t *testing.T) {
	repo := t.TempDir()
	b := goodBaseline()
	if err := b.Write(filepath.Join(repo, "b.json")); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	good := map[string]any{"name": "Record/keys=1", "metric": "ns/op", "reason": "a new dependency version", "risk": "records cost more", "baseline": "b.json", "expires": "2026-11-24"}
	read := func(file any) (*Waivers, error) {
		j, _ := json.Marshal(file)
		path := filepath.Join(repo, "w.json")
		if err := os.WriteFile(path, j, 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadWaivers(path, repo, now)
	}
	w, err := read(map[string]any{"schema": 1, "waivers": []any{good}})
	if err != nil {
		t.Fatal(err)
	}
	r := compare(Row{"Record/keys=1", TimeOp}, "", ten(4), ten(6.2), 1)
	if r.Status != Regression {
		t.Fatalf("4 to 6.2 ns: %+v", r)
	}
	if w.apply(r, ten(6.2)); r.Status != Waived || r.Waiver == nil {
		t.Errorf("a waived row: %+v", r)
	}
	for key, values := range map[string][]any{
		"reason": {"", "because"}, "risk": {"", "none"}, "expires": {"", "soon", "2026-11-22"}, "name": {""}, "metric": {"allocs"},
		"baseline": {"", "nosuch.json", "/etc/passwd", "../b.json"}, "unknown": {"field"},
	} {
		for _, v := range values {
			bad := map[string]any{}
			for k, x := range good {
				bad[k] = x
			}
			bad[key] = v
			if _, err := read(map[string]any{"schema": 1, "waivers": []any{bad}}); !errors.Is(err, ErrWaiver) {
				t.Errorf("%s = %q: got %v, want ErrWaiver", key, v, err)
			}
		}
	}
	for _, file := range []any{map[string]any{"schema": 2}, "text", map[string]any{"schema": 1, "waivers": []any{good, good}}} {
		if _, err := read(file); !errors.Is(err, ErrWaiver) {
			t.Errorf("%v: got %v, want ErrWaiver", file, err)
		}
	}
}

func TestWhatIsGated(t *testing.T) {
	for _, c := range []struct {
		row      Row
		unsteady string
		want     bool
	}{
		{Row{"Record/keys=1", TimeOp}, "", true},
		{Row{"Record/keys=200000", TimeOp}, "leaves the cache", false},
		{Row{"Record/keys=1", AllocsOp}, "", false},
		{Row{"run w1", RSS}, "", true},
	} {
		r := compare(c.row, c.unsteady, ten(4), ten(9), 1)
		if r.Gated != c.want || (r.Status == Regression) != c.want || c.want == (r.Why != "") {
			t.Errorf("%v: %+v, want gated %v", c.row, r, c.want)
		}
	}
	for m, want := range map[Metric]float64{TimeOp: 10, ExportP95: 10, CPUOp: 15, RSS: 20} {
		if got, ok := m.Limit(); !ok || got != want {
			t.Errorf("%s: limit %v, want %v", m, got, want)
		}
	}
	got := Suite{Filter: "."}.only([]Row{{"Record/keys=1", TimeOp}, {"run w1", RSS}, {"run w1", CPUOp}, {"Digest/bytes=1", TimeOp}})
	if got.Filter != "^(Record/keys=1|Digest/bytes=1)$" || len(got.Workloads) != 1 || got.Workloads[0] != "w1" {
		t.Errorf("a part of the suite: %+v", got)
	}
}

// With realistic noise A/A must not fail, and 15 % must be seen, whatever the confirmations are for. 400 rounds with a fixed seed.
func TestJudgementOnSyntheticNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	row := Row{"Record/keys=1", TimeOp}
	draw := func(center float64) (out []float64) {
		for range 10 { // 2 % of jitter, and one in ten samples disturbed by up to half
			v := center * (1 + r.NormFloat64()*0.02)
			if r.IntN(10) == 0 {
				v *= 1 + r.Float64()/2
			}
			out = append(out, v)
		}
		return out
	}
	falseAlarms, caught := 0, 0
	for range 400 {
		a, aa := draw(100), draw(100)
		base := slices.Concat(a, aa)
		if compare(row, "", base, draw(100), noise(a, aa)).Status == Regression {
			falseAlarms++
		}
		if compare(row, "", base, draw(115), noise(a, aa)).Status == Regression {
			caught++
		}
	}
	t.Logf("%d false alarms, %d caught", falseAlarms, caught)
	if falseAlarms > 0 || caught < 380 {
		t.Errorf("of 400: %d false alarms, %d of the slowdowns caught; want 0 and at least 380", falseAlarms, caught)
	}
	if d := delta([]float64{0, 0}, []float64{1, 1}); !math.IsInf(d, 1) || finite(d) != 1e9 {
		t.Errorf("from nothing to something is %v", d)
	}
}
