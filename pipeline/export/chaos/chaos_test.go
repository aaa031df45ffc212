package chaos_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

func TestParse(t *testing.T) {
	for _, text := range []string{
		"", "5xx=0.1-0.3", "tail=0.1:200ms-800ms", "outage=5s@10s", "outage=5s@10s/30s", "fsync=2ms-8ms", "oversize", "ratio",
		"5xx=0.1-0.3,tail=0.1:200ms-800ms,lost=0.05,disconnect=0.01,hang=0.01,dup=0.2,reorder=0.1,outage=5s@10s,fsync=2ms-8ms,oversize,ratio", "5xx=1", "fsync=3ms",
	} {
		s, err := chaos.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := s.String(); got != text {
			t.Errorf("%q: String gives %q", text, got)
		}
		if want := strings.ContainsAny(text, "=") && !strings.HasPrefix(text, "fsync"); s.Exports() != want {
			t.Errorf("%q: Exports is %v", text, s.Exports())
		}
	}
	s, err := chaos.Parse(" 5xx=0.1-0.3 , tail=0.1:200ms-800ms,fsync=2ms-8ms,outage=5s@10s,oversize,ratio")
	want := chaos.Spec{Remote5xx: chaos.Shares{Min: 0.1, Max: 0.3}, Tail: chaos.Shares{Min: 0.1, Max: 0.1},
		TailLatency: chaos.Durations{Min: 200 * time.Millisecond, Max: 800 * time.Millisecond}, OutageFor: 5 * time.Second, OutageAt: 10 * time.Second,
		Fsync: chaos.Durations{Min: 2 * time.Millisecond, Max: 8 * time.Millisecond}, Oversize: true, Ratio: true}
	if err != nil || s != want {
		t.Errorf("the rig's example: got %+v, %v", s, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"6xx=0.1": "unknown", "5xx": "got share", "5xx=": "got share", "5xx=2": "0 to 1", "5xx=-1": "got share", "5xx=NaN": "0 to 1", "5xx=0.3-0.1": "smaller first",
		"5xx=0.1,5xx=0.2": "twice", "tail=0.1": "share:latency", "tail=0.1:5": "unit", "tail=0.1:800ms-200ms": "shorter first", "tail=x:1ms": "got share",
		"outage=5s": "length@start", "outage=0s@1s": "0s", "outage=5s@1s/5s": "period", "outage=5s@1s/x": "got duration", "outage=x@1s": "got duration", "outage=1s@x": "got duration",
		"fsync=99999h": "24h", "fsync=-1s": "got duration", "oversize=1": "alone", "ratio=1": "alone", ",": "unknown", "hang": "got share",
	} {
		s, err := chaos.Parse(text)
		if !errors.Is(err, chaos.ErrSpec) || !strings.Contains(err.Error(), says) || s != (chaos.Spec{}) {
			t.Errorf("%q: got %v, want ErrSpec with %q", text, err, says)
		}
	}
	if _, err := chaos.Parse("a,b"); strings.Count(err.Error(), "unknown") != 2 {
		t.Errorf("not every fault is reported: %v", err)
	}
}

// fates puts n slices and lists what became of each call.
func fates(t *testing.T, text string, seed uint64, n int) (out []string, st chaos.Stats, held memory.Stats) {
	spec, err := chaos.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sink := memory.New(memory.Options{Verify: true})
		e := chaos.New(sink, spec, seed)
		c := exporttest.NewChain(exporttest.Stream("chaos", 0), 1)
		s := c.Next()
		for range n {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			start := time.Now()
			ack, err := e.Put(ctx, s)
			cancel()
			out = append(out, ack.String()+" "+time.Since(start).String())
			if err != nil {
				out[len(out)-1] = err.Error()
			} else {
				s = c.Next()
			}
		}
		st, held = e.Stats(), sink.Stats()
	})
	return out, st, held
}

func TestSameSeedSameFate(t *testing.T) {
	const text = "5xx=0.1-0.3,tail=0.1:200ms-800ms,lost=0.1,disconnect=0.1,hang=0.05,dup=0.1,reorder=0.1"
	a, st, held := fates(t, text, 1, 2000)
	b, _, _ := fates(t, text, 1, 2000)
	c, _, _ := fates(t, text, 2, 2000)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave another course")
	}
	if slices.Equal(a, c) {
		t.Error("another seed gave the same course")
	}
	for name, got := range map[string]struct {
		n    int64
		want float64
	}{"5xx": {st.Remote5xx, 0.2}, "late": {st.Late, 0.08}, "lost": {st.Lost, 0.06}, "disconnect": {st.Disconnects, 0.07},
		"hang": {st.Hangs, 0.04}, "dup": {st.Dups, 0.07}, "reorder": {st.Reorders, 0.07}} {
		if share := float64(got.n) / float64(st.Calls); share < got.want/2 || share > got.want*2 {
			t.Errorf("%s: got a share of %.3f, want about %.2f", name, share, got.want)
		}
	}
	if held.Conflict != 0 || held.Bad != 0 {
		t.Errorf("the sink saw %+v", held)
	}
}

func TestOutage(t *testing.T) {
	spec, _ := chaos.Parse("outage=5s@10s/30s")
	synctest.Test(t, func(t *testing.T) {
		sink := memory.New(memory.Options{})
		e := chaos.New(sink, spec, 1)
		s := exporttest.NewChain(exporttest.Stream("outage", 0), 1).Next()
		for sec := range 90 {
			_, err := e.Put(context.Background(), s)
			_, _, _, tipErr := e.(export.Tipper).Tip(context.Background(), export.StreamOf(s.Head()))
			down := sec >= 10 && (sec-10)%30 < 5
			var remote *export.RemoteError
			if down != (err != nil) || down != (tipErr != nil) || down && !errors.As(err, &remote) {
				t.Errorf("second %d: got %v, %v, want down=%v", sec, err, tipErr, down)
			}
			time.Sleep(time.Second)
		}
	})
}

type plain struct{ export.Exporter }

type batcher struct{ export.BatchExporter }

// The wrapper can what the wrapped one can, and no more.
func TestInterfaces(t *testing.T) {
	sink := memory.New(memory.Options{})
	for name, c := range map[string]struct {
		e          export.Exporter
		batch, tip bool
	}{
		"both": {sink, true, true}, "put": {plain{sink}, false, false}, "batch": {batcher{sink}, true, false},
		"tip": {struct {
			plain
			export.Tipper
		}{plain{sink}, sink}, false, true},
	} {
		e := chaos.New(c.e, chaos.Spec{}, 1)
		if _, ok := e.(export.BatchExporter); ok != c.batch {
			t.Errorf("%s: BatchExporter: got %v", name, ok)
		}
		if _, ok := e.(export.Tipper); ok != c.tip {
			t.Errorf("%s: Tipper: got %v", name, ok)
		}
	}
}

// A batch in which everything happens still leaves one unbroken chain a stream, if the caller goes on from the first failure.
func TestBatches(t *testing.T) {
	spec, _ := chaos.Parse("5xx=0.2,lost=0.2,disconnect=0.2,dup=0.2,reorder=0.5")
	sink := memory.New(memory.Options{Keep: true, Verify: true})
	e := chaos.New(sink, spec, 3).(export.BatchExporter)
	all := exporttest.NewChain(exporttest.Stream("batches", 0), 1).Take(500)
	for calls := 0; len(all) > 0; calls++ {
		if calls > 10_000 {
			t.Fatal("no progress")
		}
		n := min(8, len(all))
		for _, r := range e.PutBatch(context.Background(), all[:n]) {
			if r.Err != nil {
				break
			}
			all = all[1:]
		}
	}
	if st := sink.Stats(); st.OK != 500 || st.Gap == 0 || st.Dup == 0 || st.Conflict != 0 {
		t.Errorf("sink: %+v, want 500 stored, and refusals of what came too early or again", st)
	}
	if err := sink.Check(); err != nil {
		t.Error(err)
	}
}
