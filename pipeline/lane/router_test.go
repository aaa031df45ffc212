package lane_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// bubble runs f on synthetic time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestQuietSink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 50, newReferee(), lane.Config{Workers: 2})
		defer g.close(t)
		for range 20 {
			for n := range 50 {
				g.add(t, n, 1+n%3)
			}
		}
		if err := drain(t, g.r, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := g.check(); err != nil {
			t.Fatal(err)
		}
		if st := g.r.Stats(); st.Queued != 0 || st.Putting != 0 || st.Lanes != 50 || st.Ready+st.InFlight+st.Resting+st.Halted != 0 {
			t.Errorf("stats after drain: %+v", st)
		}
	})
}

func TestSingleExporter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		g := newRig(t, 5, ref, lane.Config{Workers: 2, Sink: export.Sink{Name: "one", Exporter: single{ref}}})
		defer g.close(t)
		for n := range 5 {
			g.add(t, n, 10)
		}
		if err := drain(t, g.r, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := g.check(); err != nil {
			t.Fatal(err)
		}
		if ref.calls != 50 {
			t.Errorf("got %d calls, want 50", ref.calls)
		}
	})
}

// The worst that an exporter can answer, each once, must delay and not lose, repeat or reorder anything.
func TestBadAnswers(t *testing.T) {
	ok := export.Result{Ack: export.AckOK}
	for name, bad := range map[string]func([]canon.SealedSlice) []export.Result{
		"nothing":      func(b []canon.SealedSlice) []export.Result { return nil },
		"one too few":  func(b []canon.SealedSlice) []export.Result { return make([]export.Result, len(b)-1) },
		"one too many": func(b []canon.SealedSlice) []export.Result { return append(all(len(b), nil), ok) },
		"zero acks":    func(b []canon.SealedSlice) []export.Result { return make([]export.Result, len(b)) },
		"unknown ack": func(b []canon.SealedSlice) []export.Result {
			return []export.Result{{Ack: 9}, {Ack: 9}, {Ack: 9}, {Ack: 9}}
		},
		"panic":         func(b []canon.SealedSlice) []export.Result { panic("boom") },
		"runtime panic": func(b []canon.SealedSlice) []export.Result { return b2r(nil)[:len(b)] },
		"500":           func(b []canon.SealedSlice) []export.Result { return all(len(b), remote(500, 0)) },
		"400":           func(b []canon.SealedSlice) []export.Result { return all(len(b), remote(400, 0)) },
		"unknown error": func(b []canon.SealedSlice) []export.Result { return all(len(b), errors.New("?")) },
		"ok behind a failure": func(b []canon.SealedSlice) []export.Result {
			return []export.Result{{Err: remote(500, 0)}, ok, {Err: remote(502, 0)}, ok}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ref := newReferee()
				ref.behave = func(_ context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
					if call > 1 {
						return nil, false
					}
					return bad(b), true
				}
				g := newRig(t, 2, ref, lane.Config{Workers: 1})
				defer g.close(t)
				g.r.Pause()
				g.add(t, 0, 2)
				g.add(t, 1, 2)
				g.r.Resume()
				synctest.Wait()
				if n := len(g.acked[0]) + len(g.acked[1]); n != 0 {
					t.Errorf("got %d acks of a bad answer", n)
				}
				rest(5 * time.Second)
				if err := g.check(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func b2r(b []byte) []export.Result { return nil }

func TestConfigReportsEveryFault(t *testing.T) {
	_, err := lane.New(lane.Config{Workers: 999, LaneCapacity: -1, Tuning: lane.Tuning{Fairness: 7, Base: time.Hour, OpDeadline: 1,
		Weights: map[canon.ID]uint8{{}: 9}}})
	if err == nil {
		t.Fatal("got a router")
	}
	for _, want := range []string{"Sink.Exporter", "Workers: got 999", "LaneCapacity: got -1", "Fairness", "Base", "OpDeadline", "Weights: got 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestEnqueueRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 2, newReferee(), lane.Config{LaneCapacity: 3})
		g.r.Pause()
		it := g.next(0, 4)
		if n, err := g.r.Enqueue(it[0], it[2]); n != 1 || !errors.Is(err, lane.ErrOrder) {
			t.Errorf("hole: got %d, %v, want 1 and ErrOrder", n, err)
		}
		if n, err := g.r.Enqueue(it[1], it[2]); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if g.lanes[0].Room() != 0 || g.lanes[0].Len() != 3 {
			t.Errorf("got room %d, len %d, want 0, 3", g.lanes[0].Room(), g.lanes[0].Len())
		}
		if err := g.r.Offer(it[3]); !errors.Is(err, lane.ErrFull) {
			t.Errorf("got %v, want ErrFull", err)
		}
		g.handed[0] = 3
		wrong := *it[3]
		wrong.Lane = g.lanes[1]
		if _, err := g.r.Enqueue(&wrong); err == nil {
			t.Error("took a slice of another stream")
		}
		if _, err := g.r.Enqueue(&lane.Item{Lane: g.lanes[1]}); err == nil {
			t.Error("took an item without body and loader")
		}
		if _, err := g.r.Enqueue(&lane.Item{}); err == nil {
			t.Error("took an item without lane")
		}
		var de *lane.DrainError
		if err := drain(t, g.r, time.Second); !errors.As(err, &de) || !errors.Is(err, export.ErrTimeout) || de.Slices != 3 || de.Streams != 1 || !de.Paused {
			t.Errorf("drain while paused: got %v", err)
		}
		g.r.Resume()
		if err := drain(t, g.r, time.Second); err != nil {
			t.Error(err)
		}
		if err := g.check(); err != nil {
			t.Error(err)
		}
		if !g.r.Forget(g.lanes[1]) || g.r.Forget(g.lanes[1]) {
			t.Error("Forget of an idle lane must work once")
		}
		g.close(t)
		if _, err := g.r.Enqueue(it[3]); !errors.Is(err, lane.ErrClosed) {
			t.Errorf("after Close: got %v", err)
		}
	})
}

// A slice handed in twice is acked as a duplicate without a call while it is remembered, asked about afterwards, and an
// alarm if it differs.
func TestHandedInTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		g := newRig(t, 1, ref, lane.Config{Workers: 1, Horizon: 4})
		defer g.close(t)
		fork := *g.chains[0]
		items := g.add(t, 0, 20)
		if err := drain(t, g.r, time.Second); err != nil {
			t.Fatal(err)
		}
		calls := ref.calls
		again := func(i int) {
			it := &lane.Item{Lane: g.lanes[0], Seq: items[i].Seq, Slice: items[i].Slice, User: 0}
			if _, err := g.r.Enqueue(it); err != nil {
				t.Fatal(err)
			}
			if err := drain(t, g.r, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		again(19)
		if ref.calls != calls || g.dups != 1 {
			t.Errorf("the tip again: got %d calls, %d dups, want none, 1", ref.calls-calls, g.dups)
		}
		again(0)
		if ref.calls != calls+1 || g.dups != 2 {
			t.Errorf("beyond the horizon: got %d calls, %d dups, want 1, 2", ref.calls-calls, g.dups)
		}
		g.add(t, 0, 1) // still serves new ones
		if err := drain(t, g.r, time.Second); err != nil {
			t.Fatal(err)
		}
		if seq, d, ok := g.lanes[0].Tip(); !ok || seq != 20 || d == (canon.Digest{}) {
			t.Errorf("tip: got %d, %v", seq, ok)
		}
		bad := fork.Fork(7)
		var s canon.SealedSlice
		for range 21 {
			s = bad.Next()
		}
		if _, err := g.r.Enqueue(&lane.Item{Lane: g.lanes[0], Seq: 20, Slice: &s, User: 0}); err != nil {
			t.Fatal(err)
		}
		err := drain(t, g.r, time.Second)
		if !errors.Is(err, lane.ErrHalted) || !errors.Is(err, export.ErrConflict) || len(g.halts) != 1 {
			t.Errorf("other digest: got %v, %d halts, want ErrHalted, ErrConflict, 1", err, len(g.halts))
		}
	})
}

func TestSetTip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ref := newReferee()
		g := newRig(t, 1, ref, lane.Config{})
		defer g.close(t)
		items := g.next(0, 3)
		ref.sink.PutBatch(context.Background(), []canon.SealedSlice{*items[0].Slice, *items[1].Slice})
		ref.acked[g.lanes[0].Stream()] = 2
		g.lanes[0].SetTip(1, items[1].Slice.Digest())
		if _, err := g.r.Enqueue(items[1], items[2]); err != nil {
			t.Fatal(err)
		}
		if err := drain(t, g.r, time.Second); err != nil {
			t.Fatal(err)
		}
		if ref.calls != 1 || ref.sizes[0] != 1 || g.dups != 1 || len(g.acked[0]) != 2 {
			t.Errorf("got %d calls %v, %d dups, %d acks, want 1 of 1 slice, 1, 2", ref.calls, ref.sizes, g.dups, len(g.acked[0]))
		}
	})
}

func TestLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bodies := map[uint64]canon.SealedSlice{}
		fails := 2
		ref := newReferee()
		g := newRig(t, 1, ref, lane.Config{Load: func(it *lane.Item) (canon.SealedSlice, error) {
			if it.Seq == 2 && fails > 0 {
				fails--
				if fails == 0 {
					panic("unreadable")
				}
				return canon.SealedSlice{}, errors.New("unreadable")
			}
			return bodies[it.Seq], nil
		}})
		defer g.close(t)
		items := g.next(0, 5)
		for _, it := range items {
			bodies[it.Seq], it.Size, it.Slice = *it.Slice, len(it.Slice.Bytes()), nil
		}
		if _, err := g.r.Enqueue(items...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(g.acked[0]) != 2 || !errors.Is(g.r.Stats().Err, lane.ErrLoad) || g.failures[lane.Fail] != 1 {
			t.Errorf("got %d acks, %v, %v, want 2, ErrLoad, 1 fail", len(g.acked[0]), g.r.Stats().Err, g.failures)
		}
		rest(time.Second)
		if err := g.check(); err != nil {
			t.Error(err)
		}
	})
}
