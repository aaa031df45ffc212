package live

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/rig"
)

func view() rig.View {
	v := rig.View{Workload: "w2", Length: time.Minute}
	v.T, v.Rate, v.Ready, v.LagP99US = 3, 1e5, true, 123456789
	return v
}

// What is no terminal gets one plain line a second.
func TestPlain(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.Phase("running")
	p.Say("metrics on")
	p.Tick(view())
	p.Tick(view())
	p.Done()
	if got := out.String(); strings.Count(got, "\n") != 4 || strings.Contains(got, "\x1b") || !strings.Contains(got, "w2    3s/60s  100k rows/s") {
		t.Errorf("got %q", got)
	}
	if Colored(&out) {
		t.Error("a buffer takes no colours")
	}
}

// A terminal's lines are cut to its width, whatever it is, and as many are erased as were drawn; without colours none is written.
func TestTerminal(t *testing.T) {
	for _, c := range []struct {
		columns int
		color   bool
	}{{80, true}, {40, true}, {20, false}, {7, true}, {1, false}} {
		var out bytes.Buffer
		p := &Progress{w: &out, tty: true, color: c.color, width: func() int { return c.columns }}
		p.Tick(view())
		for l := range strings.Lines(out.String()) {
			shown := strings.TrimPrefix(strings.TrimSuffix(l, "\n"), "\x1b[2K")
			if strings.Contains(shown, "\x1b[") {
				if !c.color || !strings.Contains(shown, "\x1b[0m") {
					t.Errorf("%d columns, color %v: %q", c.columns, c.color, shown)
				}
				for _, code := range []string{"0", "1", "2", "31", "32"} {
					shown = strings.ReplaceAll(shown, "\x1b["+code+"m", "")
				}
			}
			if n := utf8.RuneCountInString(shown); n > c.columns {
				t.Errorf("%d columns: a line of %d: %q", c.columns, n, shown)
			}
		}
		out.Reset()
		if p.Done(); out.String() != "\x1b[5A\x1b[J" {
			t.Errorf("%d columns: erased by %q", c.columns, out.String())
		}
	}
}

func TestSparkIsBounded(t *testing.T) {
	p := &Progress{w: new(bytes.Buffer), tty: true, width: func() int { return 80 }}
	for range 100 {
		p.Tick(view())
	}
	if got := utf8.RuneCountInString(spark(p.rates)); got != sparks {
		t.Errorf("%d sparks, want %d", got, sparks)
	}
}
