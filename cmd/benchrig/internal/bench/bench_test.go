package bench

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"
)

// Every case runs, in turn with the others, and its line is one that Go's tools read.
func TestEveryCase(t *testing.T) {
	var text bytes.Buffer
	Header(&text)
	cases := Cases(nil)
	if raceEnabled { // the large ones take a minute then
		cases = Cases(regexp.MustCompile("keys=1$|rows=1024$|16384$|Put"))
	}
	seen := map[string]bool{}
	err := Run(t.Context(), cases, Options{Time: time.Millisecond, Spread: true, Dir: t.TempDir()}, func(r Result) {
		if seen[r.Name] || r.N < 1 || r.Best <= 0 || r.Best > r.NS*1.001 {
			t.Errorf("%+v", r)
		}
		seen[r.Name] = true
		r.Line(&text)
	})
	if err != nil || len(seen) != len(cases) {
		t.Fatalf("%d of %d cases: %v", len(seen), len(cases), err)
	}
	read := benchfmt.NewReader(&text, "bench")
	lines := 0
	for read.Scan() {
		switch r := read.Result().(type) {
		case *benchfmt.Result:
			lines++
			if v, ok := r.Value("sec/op"); !ok || v <= 0 {
				t.Errorf("%s: %v", r.Name, r.Values)
			}
		case *benchfmt.SyntaxError:
			t.Error(r)
		}
	}
	if lines != len(cases) {
		t.Errorf("%d lines read of %d", lines, len(cases))
	}
}

func TestExtraWorkIsDoneAndNotSaid(t *testing.T) {
	did := 0
	c := Case{Name: "Fake", make: func(*env) (op, error) {
		return op{run: func(n int) (time.Duration, error) {
			did += n
			return time.Duration(n) * time.Microsecond, nil
		}}, nil
	}}
	said := func() (r Result) {
		if err := Run(t.Context(), []Case{c}, Options{Time: 20 * time.Millisecond}, func(x Result) { r = x }); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := said(); r.NS != 1000 || r.Best != 1000 {
		t.Errorf("%+v, want 1000 ns", r)
	}
	t.Setenv(ExtraEnv, "15")
	if r := said(); r.NS != 1150 || r.Best != 1150 {
		t.Errorf("with 15 %% more: %+v, want 1150 ns", r)
	}
	for _, bad := range []string{"x", "-1", "1e9"} {
		t.Setenv(ExtraEnv, bad)
		if err := Run(t.Context(), []Case{c}, Options{}, nil); err == nil || !strings.Contains(err.Error(), ExtraEnv) {
			t.Errorf("%s=%s: %v", ExtraEnv, bad, err)
		}
	}
}

func TestRunStopsAndReports(t *testing.T) {
	broken := errors.New("broken")
	c := Case{Name: "Broken", make: func(*env) (op, error) {
		return op{run: func(int) (time.Duration, error) { return 0, broken }}, nil
	}}
	if err := Run(t.Context(), []Case{c}, Options{}, nil); !errors.Is(err, broken) || !strings.Contains(err.Error(), "Broken") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Cases(regexp.MustCompile("CounterAdd")), Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
