package stage

import (
	"bytes"
	"context"
	"runtime/pprof"
	"testing"
)

// labelled reports whether some goroutine carries the label stage=name right now.
func labelled(t *testing.T, name string) bool {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(b.Bytes(), []byte(`"stage":"`+name+`"`))
}

func TestEnterLabelsTheGoroutine(t *testing.T) {
	defer Enter(None)
	for s := Record; s <= Export; s++ {
		Enter(s)
		if !labelled(t, s.String()) {
			t.Errorf("after Enter(%v) no goroutine carries its label", s)
		}
	}
	Enter(Stage(200))
	if labelled(t, "export") {
		t.Error("an unknown stage must take the label off")
	}
}

func TestEnterDoesNotAllocate(t *testing.T) {
	defer Enter(None)
	if n := testing.AllocsPerRun(100, func() { Enter(Seal); Enter(WAL) }); n != 0 {
		t.Errorf("Enter allocates %v times a call pair", n)
	}
}

func TestDoKeepsTheCallersLabels(t *testing.T) {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("tenant", "x"))
	Do(ctx, Seal, func(ctx context.Context) {
		for k, want := range map[string]string{"tenant": "x", Key: "seal"} {
			if got, _ := pprof.Label(ctx, k); got != want {
				t.Errorf("label %s: got %q, want %q", k, got, want)
			}
		}
		if !labelled(t, "seal") {
			t.Error("the goroutine is not labelled inside Do")
		}
	})
	pprof.SetGoroutineLabels(context.Background())
	ran := false
	Do(ctx, None, func(context.Context) { ran = true })
	if !ran {
		t.Error("Do(None) did not run its function")
	}
}

func TestParse(t *testing.T) {
	for s := Record; s <= Export; s++ {
		if got, ok := Parse(s.String()); !ok || got != s {
			t.Errorf("Parse(%q) = %v, %v", s.String(), got, ok)
		}
	}
	if _, ok := Parse(""); ok {
		t.Error("the empty name is no stage")
	}
}

func BenchmarkEnter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Enter(Seal)
	}
	Enter(None)
}
