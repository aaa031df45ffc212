package pipeline

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// While the sink is away a small seal keeps as much memory as its slices take, not as much as the largest would.
func TestSmallSealsKeepLittleMemory(t *testing.T) {
	l := &ledger{}
	l.set(&export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")})
	p := open(t, Options{}, l)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	seals := func(n int) {
		for range n {
			for subject := range uint64(50) {
				p.count(t, 1, subject, 1)
			}
			if _, err := p.SealNow(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	seals(10)
	before := live()
	seals(200)
	if n := p.Stats().PendingSlices; n != 210 {
		t.Fatalf("%d slices pending, want 210", n)
	}
	if grown := int64(live() - before); grown > 8<<20 {
		t.Errorf("200 seals of 50 rows keep %d KiB", grown>>10)
	}
	l.set(nil)
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
