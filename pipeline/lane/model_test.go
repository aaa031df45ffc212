package lane_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// step is one thing that a property test does to a router.
type step struct {
	kind   string
	stream int
	n      int
	wait   time.Duration
}

func drawSteps(rt *rapid.T, streams int) []step {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			kind:   rapid.SampledFrom([]string{"add", "add", "add", "gap", "again", "sleep", "pause", "resume", "tune"}).Draw(rt, "kind"),
			stream: rapid.IntRange(0, streams-1).Draw(rt, "stream"),
			n:      rapid.IntRange(1, 6).Draw(rt, "n"),
			wait:   time.Duration(rapid.IntRange(0, 3000).Draw(rt, "wait")) * time.Millisecond,
		}
	}), 1, 40).Draw(rt, "steps")
}

// play runs the steps against a sink that answers by script, then a quiet one, and returns what was wrong.
func play(t *testing.T, steps []step, script []int, cfg lane.Config, streams int, one bool) (err error) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(uint64(len(script)), 1))
		ref.behave = func(ctx context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
			if call > len(script) {
				return nil, false
			}
			mu.Lock()
			k, d := rng.IntN(len(b)), time.Duration(rng.IntN(200))*time.Millisecond
			mu.Unlock()
			time.Sleep(d)
			return misbehave(ctx, ref, script[call-1], b, k)
		}
		cfg := cfg
		if one {
			cfg.Sink = export.Sink{Name: "one", Exporter: single{ref}}
		}
		g := newRig(t, streams, ref, cfg)
		defer g.close(t)
		last := make([]*lane.Item, streams)
		for _, s := range steps {
			switch s.kind {
			case "add":
				items := g.add(t, s.stream, s.n)
				last[s.stream] = items[len(items)-1]
			case "gap":
				sl := g.chains[s.stream].Gap(uint64(s.n), nil)
				it := &lane.Item{Lane: g.lanes[s.stream], Seq: sl.Head().Seq, Slice: &sl, User: s.stream}
				if _, e := g.r.Enqueue(it); e != nil {
					err = e
					return
				}
				g.handed[s.stream]++
				last[s.stream] = it
			case "again":
				if it := last[s.stream]; it != nil {
					g.handed[s.stream]++
					if _, e := g.r.Enqueue(&lane.Item{Lane: it.Lane, Seq: it.Seq, Slice: it.Slice, User: it.User}); e != nil {
						err = e
						return
					}
				}
			case "sleep":
				time.Sleep(s.wait)
			case "pause":
				g.r.Pause()
			case "resume":
				g.r.Resume()
			case "tune":
				err = g.r.Tune(lane.Tuning{Fairness: lane.Fairness(s.n % 2), Base: time.Duration(s.n) * time.Millisecond})
			}
		}
		g.r.Resume()
		// Liveness: a finite script of failures can't hold anything for an hour.
		if e := drain(t, g.r, time.Hour); e != nil {
			err = e
			return
		}
		synctest.Wait()
		err = errors.Join(err, g.check())
		if st := ref.sink.Stats(); st.Gap+st.Conflict+st.Bad != 0 {
			err = errors.Join(err, fmt.Errorf("the sink had to refuse: %+v", st))
		}
		if st := g.r.Stats(); st.Queued+st.Putting+st.Ready+st.InFlight+st.Resting+st.Halted != 0 {
			err = errors.Join(err, fmt.Errorf("not at rest: %+v", st))
		}
	})
	return err
}

// misbehave is one of the ways in which a call goes wrong; none of them is an alarm.
func misbehave(ctx context.Context, ref *referee, way int, b []canon.SealedSlice, k int) ([]export.Result, bool) {
	switch way {
	case 1: // nothing stored
		return all(len(b), remote(503, time.Duration(k)*time.Second)), true
	case 2: // the network
		return all(len(b), &export.RemoteError{Op: "handshake", Err: errors.New("reset")}), true
	case 3: // stored, and the reply lost
		ref.sink.PutBatch(ctx, b)
		return all(len(b), errors.New("lost")), true
	case 4: // a first part stored and acked, the rest refused
		out := ref.sink.PutBatch(ctx, b[:k])
		return append(out, all(len(b)-k, remote(500, 0))...), true
	case 5: // the wrong number of results
		return ref.sink.PutBatch(ctx, b)[:k], true
	case 6: // no answer
		ref.sink.PutBatch(ctx, b)
		return make([]export.Result, len(b)), true
	case 7:
		panic("model")
	case 8: // until the deadline
		<-ctx.Done()
		return all(len(b), ctx.Err()), true
	case 9:
		return all(len(b), remote(413, 0)), true
	}
	return nil, false
}

// Whatever is handed in, in whatever rhythm, and however the sink fails for a while: all is acked, in order, once, and never put early.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const streams = 5
		steps := drawSteps(rt, streams)
		script := rapid.SliceOfN(rapid.IntRange(0, 9), 0, 30).Draw(rt, "script")
		cfg := lane.Config{Workers: rapid.IntRange(1, 3).Draw(rt, "workers"), MaxBatchSlices: rapid.IntRange(1, 12).Draw(rt, "batch"),
			MaxBatchBytes: rapid.SampledFrom([]int{1, 600, 4 << 20}).Draw(rt, "bytes"), Horizon: rapid.IntRange(1, 20).Draw(rt, "horizon"),
			TripAfter: rapid.IntRange(1, 6).Draw(rt, "trip"), Seed: 1}
		if rapid.Bool().Draw(rt, "wfq") {
			cfg.Fairness = lane.WFQ
		}
		if err := play(t, steps, script, cfg, streams, rapid.Bool().Draw(rt, "one by one")); err != nil {
			rt.Fatal(err)
		}
	})
}

// Chaos on synthetic hours: every fault at once, an outage now and then; the ledger ends up with exactly what was handed in.
func TestChaos(t *testing.T) {
	for seed := range uint64(4) {
		bubble(t, func(t *testing.T) {
			spec, err := chaos.Parse("5xx=0.1-0.3,tail=0.1:200ms-800ms,lost=0.1,disconnect=0.1,hang=0.02,dup=0.1,reorder=0.2,outage=5s@10s/60s")
			if err != nil {
				t.Fatal(err)
			}
			ref := newReferee()
			g := newRig(t, 40, ref, lane.Config{Workers: 3, MaxBatchSlices: 16, Sink: export.Sink{Name: "chaos", Exporter: chaos.New(ref.sink, spec, seed)}})
			defer g.close(t)
			for range 300 {
				for n := range 40 {
					g.add(t, n, 1)
				}
				time.Sleep(time.Second)
			}
			if err := drain(t, g.r, 10*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := g.check(); err != nil {
				t.Fatal(err)
			}
			if st := ref.sink.Stats(); st.OK != 12000 || st.Conflict != 0 {
				t.Errorf("sink: %+v", st)
			}
			for _, c := range []lane.Class{lane.RetryNetwork, lane.RetryRemote5xx, lane.RetryTimeout} {
				if g.failures[c] == 0 {
					t.Errorf("no %v was seen", c)
				}
			}
			if g.failures[lane.Halt] != 0 || g.dups == 0 {
				t.Errorf("got %v failures, %d dups", g.failures, g.dups)
			}
		})
	}
}

// Everything at once on real time, for the race detector.
func TestStress(t *testing.T) {
	spec, err := chaos.Parse("5xx=0.05,tail=0.05:1ms-3ms,lost=0.05,disconnect=0.05,dup=0.05,reorder=0.1")
	if err != nil {
		t.Fatal(err)
	}
	sink := memory.New(memory.Options{Keep: true, Verify: true})
	ref := newReferee()
	ref.sink = sink
	const streams, each = 64, 60
	g := newRig(t, streams, ref, lane.Config{Workers: 2, MaxBatchSlices: 32,
		Sink: export.Sink{Name: "stress", Exporter: chaos.New(sink, spec, 5)}, Tuning: lane.Tuning{Base: time.Millisecond, Cap: 5 * time.Millisecond, Rest: 10 * time.Millisecond}})
	defer g.close(t)
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i := range each {
				for n := p; n < streams; n += 4 {
					s := g.chains[n].Next()
					if _, err := g.r.Enqueue(&lane.Item{Lane: g.lanes[n], Seq: s.Head().Seq, Slice: &s, User: n}); err != nil {
						t.Error(err)
					}
					_ = g.lanes[n].Room()
				}
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	stop := make(chan struct{})
	var side sync.WaitGroup
	side.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			switch i % 4 {
			case 0:
				g.r.Pause()
				g.r.Resume()
			case 1:
				_ = g.r.Tune(lane.Tuning{Fairness: lane.Fairness(i / 4 % 2), Base: time.Millisecond, Cap: 5 * time.Millisecond})
			case 2:
				_ = g.r.Stats()
				_ = g.lanes[i%streams].Status()
				g.lanes[i%streams].Tip()
			case 3:
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				_ = g.r.Drain(ctx)
				cancel()
			}
		}
	})
	wg.Wait()
	close(stop)
	side.Wait()
	for n := range g.handed {
		g.handed[n] = each
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := g.r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	for n := range streams {
		if i := slices.Index(g.acked[n], each-1); i != each-1 {
			t.Errorf("stream %d: last ack at %d", n, i)
		}
	}
}
