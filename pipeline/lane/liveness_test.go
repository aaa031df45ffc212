package lane_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// An outage costs one probe at a time, not a retry a lane; when it ends, everything goes out at once.
func TestOutageProbes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const lanes = 10_000
		ref := newReferee()
		up := time.Now().Add(10 * time.Minute)
		ref.behave = func(_ context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			if time.Now().Before(up) {
				return all(len(b), &export.RemoteError{Op: "put", Err: errors.New("connection refused")}), true
			}
			return nil, false
		}
		g := newRig(t, lanes, ref, lane.Config{Workers: 2})
		defer g.close(t)
		for n := range lanes {
			g.add(t, n, 1)
		}
		rest(10 * time.Minute)
		// Mean wait of full jitter at a cap of 2 s is 1 s: about 600 probes in 10 minutes.
		if ref.calls > 1000 || ref.calls < 300 {
			t.Errorf("got %d calls in a 10 minute outage of %d lanes, want about 600", ref.calls, lanes)
		}
		if st := g.r.Stats(); !st.Open || st.OpenFor < 9*time.Minute {
			t.Errorf("circuit: got %+v", st)
		}
		calls := ref.calls
		rest(2 * time.Second)
		if err := g.check(); err != nil {
			t.Fatal(err)
		}
		if more := ref.calls - calls; more > 40 {
			t.Errorf("got %d calls for the rest, want a few large ones", more)
		}
		if !slices.Equal(g.circuit, []bool{true, false}) {
			t.Errorf("circuit hook: got %v, want open, closed", g.circuit)
		}
	})
}

// One stream that fails for ever rests and is tried for ever; the others do not notice.
func TestOneBadStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		bad, tries := true, 0
		ref.behave = func(ctx context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			var good []canon.SealedSlice
			out := make([]export.Result, len(b))
			var at []int
			for i, s := range b {
				if bad && s.Head().Dimension == "cpu" {
					out[i].Err = remote(500, 0)
					tries++
					continue
				}
				good, at = append(good, s), append(at, i)
			}
			for i, r := range ref.sink.PutBatch(ctx, good) {
				out[at[i]] = r
			}
			return out, true
		}
		g := newRig(t, 3, ref, lane.Config{Workers: 1}) // stream 2 is cpu
		defer g.close(t)
		g.add(t, 2, 3)
		for range 3600 {
			g.add(t, 0, 1)
			g.add(t, 1, 1)
			rest(time.Second)
		}
		if len(g.acked[0]) != 3600 || len(g.acked[1]) != 3600 || len(g.acked[2]) != 0 {
			t.Errorf("got %d, %d, %d acks, want 3600, 3600, 0", len(g.acked[0]), len(g.acked[1]), len(g.acked[2]))
		}
		// An operation is about 10 s of tries at most 2 s apart, then 7.5 to 15 s of rest.
		if g.rests < 100 || g.rests > 300 || tries < 1000 || tries > 6000 {
			t.Errorf("got %d rests and %d tries in an hour, want about 170 and 2500", g.rests, tries)
		}
		if s := g.lanes[2].Status(); s.State != "resting" && s.State != "inflight" || s.Len != 3 || s.Err == nil {
			t.Errorf("status: %+v", s)
		}
		bad = false
		rest(16 * time.Second)
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ref := newReferee()
				var at []time.Duration
				start := time.Now()
				ref.behave = func(_ context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
					at = append(at, time.Since(start))
					if call == 1 {
						return all(len(b), remote(status, 30*time.Second)), true
					}
					return nil, false
				}
				g := newRig(t, 1, ref, lane.Config{})
				defer g.close(t)
				g.add(t, 0, 1)
				rest(time.Minute)
				if len(at) != 2 || at[1] < 30*time.Second || at[1] > 31*time.Second {
					t.Errorf("got calls at %v, want the second at 30 s", at)
				}
			})
		})
	}
	t.Run("absurd", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			ref := newReferee()
			ref.behave = func(_ context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
				return all(len(b), remote(503, 1000*time.Hour)), call == 1
			}
			g := newRig(t, 1, ref, lane.Config{})
			defer g.close(t)
			g.add(t, 0, 1)
			rest(11 * time.Minute)
			if err := g.check(); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestHaltAndMend(t *testing.T) {
	for _, kind := range []error{export.ErrGap, export.ErrConflict} {
		bubble(t, func(t *testing.T) {
			ref := newReferee()
			broken := true
			ref.behave = func(ctx context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
				if !broken {
					return nil, false
				}
				out := ref.sink.PutBatch(ctx, b[:0])
				for _, s := range b {
					if s.Head().Dimension == "bytes" {
						out = append(out, export.Result{Err: fmt.Errorf("%w: test", kind)})
						continue
					}
					out = append(out, ref.sink.PutBatch(ctx, []canon.SealedSlice{s})...)
				}
				return out, true
			}
			g := newRig(t, 2, ref, lane.Config{Workers: 1})
			defer g.close(t)
			g.add(t, 0, 2)
			g.add(t, 1, 2)
			rest(time.Hour)
			if len(g.acked[0]) != 0 || len(g.acked[1]) != 2 || len(g.halts) != 1 || g.failures[lane.Halt] != 1 {
				t.Errorf("got acks %d, %d, halts %v, failures %v, want 0, 2, one, one", len(g.acked[0]), len(g.acked[1]), g.halts, g.failures)
			}
			g.add(t, 0, 3) // keeps what comes
			g.add(t, 1, 1)
			start := time.Now()
			err := drain(t, g.r, time.Minute)
			var de *lane.DrainError
			if !errors.As(err, &de) || !errors.Is(err, lane.ErrHalted) || !errors.Is(err, kind) || de.Slices != 5 || de.Halted != 1 || de.Sample[0].Slices != 5 {
				t.Errorf("drain: got %v", err)
			}
			if time.Since(start) > time.Second {
				t.Error("Drain waited for a halted lane")
			}
			broken = false
			if !g.lanes[0].Restart() {
				t.Error("Restart: got false")
			}
			if err := drain(t, g.r, time.Minute); err != nil {
				t.Error(err)
			}
			if err := g.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDiscard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = func(_ context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			return all(len(b), export.ErrConflict), len(ref.sizes) == 1
		}
		g := newRig(t, 1, ref, lane.Config{})
		defer g.close(t)
		if _, err := g.lanes[0].Discard(); err == nil {
			t.Error("discarded from a lane that is not halted")
		}
		g.add(t, 0, 4)
		synctest.Wait()
		items, err := g.lanes[0].Discard()
		if err != nil || len(items) != 4 || items[0].Seq != 0 || items[3].Seq != 3 {
			t.Fatalf("got %d items, %v", len(items), err)
		}
		if err := drain(t, g.r, time.Second); err != nil {
			t.Error(err)
		}
		if st := g.r.Stats(); st.Halted != 0 || st.Queued != 0 || g.lanes[0].Len() != 0 {
			t.Errorf("got %+v", st)
		}
		if _, err := g.r.Enqueue(items...); err != nil {
			t.Error(err)
		}
		if err := drain(t, g.r, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// A batch that is too much as a whole is tried smaller until it passes; a slice that is too much alone keeps to itself.
func TestBatchLimitAndPoison(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const lanes = 400
		ref := newReferee()
		poison := exportStream(g0, 7)
		ref.behave = func(ctx context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			for _, s := range b {
				if export.StreamOf(s.Head()) == poison {
					panic("poison")
				}
			}
			if len(b) > 50 {
				return all(len(b), remote(413, 0)), true
			}
			return nil, false
		}
		g := newRig(t, lanes, ref, lane.Config{Workers: 2})
		defer g.close(t)
		for n := range lanes {
			g.add(t, n, 2)
		}
		rest(2 * time.Minute)
		done := 0
		for n := range lanes {
			if len(g.acked[n]) == 2 {
				done++
			}
		}
		if done != lanes-1 || len(g.acked[7]) != 0 {
			t.Errorf("got %d streams through, want all but the poisoned one", done)
		}
		if !errors.Is(g.lanes[7].Status().Err, lane.ErrPanic) {
			t.Errorf("poisoned lane: got %v", g.lanes[7].Status().Err)
		}
		calls := ref.calls
		for n := range lanes {
			if n != 7 {
				g.add(t, n, 1)
			}
		}
		rest(10 * time.Second)
		more := 0
		for _, n := range ref.sizes[calls:] {
			if n > 1 { // the others are the poison's own
				more++
			}
		}
		if more > 40 {
			t.Errorf("got %d calls for 399 slices at a limit near 50, want some 20", more)
		}
	})
}

func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = func(ctx context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
			if call > 1 {
				return nil, false
			}
			<-ctx.Done()
			return all(len(b), context.Cause(ctx)), true
		}
		g := newRig(t, 1, ref, lane.Config{})
		defer g.close(t)
		g.add(t, 0, 1)
		rest(9 * time.Second)
		if len(g.acked[0]) != 0 {
			t.Error("acked before the deadline")
		}
		rest(30 * time.Second)
		if g.failures[lane.RetryTimeout] != 1 {
			t.Errorf("got %v, want one retry_timeout", g.failures)
		}
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}

// An exporter that ignores its context is reported; its lanes wait for it, the other worker goes on.
func TestStuckExporter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		release := make(chan struct{})
		ref.behave = func(_ context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
			if call == 1 {
				<-release
			}
			return nil, false
		}
		g := newRig(t, 2, ref, lane.Config{Workers: 2})
		g.add(t, 0, 1)
		synctest.Wait()
		g.add(t, 1, 1)
		rest(time.Minute)
		if st := g.r.Stats(); st.Stuck != 1 || st.Calls != 1 || len(g.acked[1]) != 1 {
			t.Errorf("got %+v, %d acks, want one stuck and one ack", st, len(g.acked[1]))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := g.r.Close(ctx); !errors.Is(err, export.ErrTimeout) {
			t.Errorf("Close: got %v, want ErrTimeout", err)
		}
		close(release)
		synctest.Wait()
		for it := range g.r.Left() {
			if it.User != 0 || it.Seq != 0 {
				t.Errorf("left: stream %v seq %d, want the stuck one", it.User, it.Seq)
			}
		}
	})
}

func TestCloseLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = func(ctx context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			<-ctx.Done()
			return all(len(b), ctx.Err()), true
		}
		g := newRig(t, 3, ref, lane.Config{Workers: 1, Tuning: lane.Tuning{OpDeadline: time.Hour}})
		g.add(t, 0, 3)
		g.add(t, 1, 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := g.r.Close(ctx)
		var de *lane.DrainError
		if !errors.As(err, &de) || !errors.Is(err, lane.ErrClosed) || de.Slices != 4 || de.Streams != 2 {
			t.Errorf("got %v", err)
		}
		left := map[int][]uint64{}
		for it := range g.r.Left() {
			left[it.User.(int)] = append(left[it.User.(int)], it.Seq)
		}
		if !slices.Equal(left[0], []uint64{0, 1, 2}) || len(left[1]) != 1 || len(g.failures) != 0 {
			t.Errorf("left %v, failures %v", left, g.failures)
		}
		if err := drain(t, g.r, time.Second); !errors.Is(err, lane.ErrClosed) {
			t.Errorf("Drain after Close: got %v", err)
		}
	})
}

// Drain waits for what was there before it, not for what comes in meanwhile.
func TestDrainIsNotStarved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = func(_ context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			time.Sleep(10 * time.Millisecond)
			return nil, false
		}
		g := newRig(t, 4, ref, lane.Config{Workers: 1})
		defer g.close(t)
		g.add(t, 0, 5)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					g.add(t, 1, 1)
				}
			}
		}()
		if err := drain(t, g.r, 10*time.Second); err != nil {
			t.Error(err)
		}
		if g.r.Stats().Queued+g.r.Stats().Putting == 0 {
			t.Error("nothing was coming in")
		}
		close(stop)
		for range 100 {
			if err := drain(t, g.r, 10*time.Second); err != nil {
				t.Error(err)
			}
		}
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}

// Drain does not wait out rests and backoffs.
func TestDrainTriesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		fail := true
		ref.behave = func(_ context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			return all(len(b), remote(503, 5*time.Minute)), fail
		}
		g := newRig(t, 2, ref, lane.Config{})
		defer g.close(t)
		g.add(t, 0, 1)
		g.add(t, 1, 1)
		rest(time.Second)
		fail = false
		if err := drain(t, g.r, 100*time.Millisecond); err != nil {
			t.Error(err)
		}
	})
}

// Held is the time that N-1 alone kept N back.
func TestHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		ref.behave = func(_ context.Context, _ int, b []canon.SealedSlice) ([]export.Result, bool) {
			time.Sleep(100 * time.Millisecond)
			return nil, false
		}
		g := newRig(t, 1, ref, lane.Config{Workers: 1})
		defer g.close(t)
		g.add(t, 0, 2)
		rest(30 * time.Millisecond)
		g.add(t, 0, 2)
		rest(time.Second)
		g.add(t, 0, 1)
		rest(time.Second)
		want := []time.Duration{0, 0, 70 * time.Millisecond, 70 * time.Millisecond, 0}
		for i, it := range g.items {
			if it.Held != want[i] {
				t.Errorf("seq %d: held %v, want %v", it.Seq, it.Held, want[i])
			}
		}
	})
}
