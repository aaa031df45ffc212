package exporttest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

func testOK(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	h.holds(t, s, nil)
	all := NewChain(s, 3).Take(5)
	for _, sl := range all {
		put(t, h.Sink, sl, export.AckOK)
	}
	h.holds(t, s, all)
}

func testDuplicate(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 2).Take(4)
	putAll(t, h.Sink, all, export.AckOK)
	for _, sl := range all {
		put(t, h.Sink, sl, export.AckDuplicate)
		put(t, h.Another(), sl, export.AckDuplicate)
	}
	h.holds(t, s, all)
}

func testGap(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	c := NewChain(s, 1)
	all := c.Take(5)
	_, err := h.Sink.Put(ctx(t), all[1])
	refused(t, err, export.ErrGap, nil)
	putAll(t, h.Sink, all[:2], export.AckOK)
	_, err = h.Sink.Put(ctx(t), all[3])
	refused(t, err, export.ErrGap, &all[1])
	other := NewChain(s, 1).Fork(9)
	other.Take(2)
	_, err = h.Sink.Put(ctx(t), other.Next()) // the right seq on another predecessor
	refused(t, err, export.ErrGap, &all[1])
	putAll(t, h.Sink, all[2:], export.AckOK) // a refusal changes nothing
	h.holds(t, s, all)
}

func testDeclaredGap(t *testing.T, h *Harness) {
	units := uint64(1<<64 - 1)
	a, b := NewChain(Stream(t.Name(), 0), 1), NewChain(Stream(t.Name(), 1), 1)
	one := []canon.SealedSlice{a.Next(), a.Gap(3, &units), a.Next()}
	two := []canon.SealedSlice{b.Gap(2, nil), b.NextRows(0)} // from the beginning; then a heartbeat
	putAll(t, h.Sink, slices.Concat(one, two), export.AckOK)
	putAll(t, h.Another(), slices.Concat(one, two), export.AckDuplicate)
	h.holds(t, a.Stream, one)
	h.holds(t, b.Stream, two)

	wide := NewChain(a.Stream, 1) // declares as lost what the ledger holds
	wide.Next()
	wide.Gap(8, nil)
	_, err := h.Sink.Put(ctx(t), wide.Gap(1, nil))
	refused(t, err, export.ErrGap, &one[2])
}

func testConflict(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	c := NewChain(s, 2)
	all := c.Take(3)
	fork := c.Fork(1).Next()
	all = append(all, c.Next())
	putAll(t, h.Sink, all, export.AckOK)
	for _, sink := range []Sink{h.Sink, h.Another()} {
		_, err := sink.Put(ctx(t), fork) // at the tip
		refused(t, err, export.ErrConflict, &all[3])
	}
	more := c.Take(3)
	putAll(t, h.Sink, more, export.AckOK)
	_, err := h.Sink.Put(ctx(t), fork) // further back
	refused(t, err, export.ErrConflict, &more[2])
	h.holds(t, s, append(all, more...))
}

const racers = 8

// race puts one slice each at the same time and returns the results.
func race(t *testing.T, h *Harness, each func(i int) canon.SealedSlice) (acks []export.Ack, errs []error) {
	acks, errs = make([]export.Ack, racers), make([]error, racers)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		sink, sl := h.Another(), each(i)
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			acks[i], errs[i] = sink.Put(ctx(t), sl)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return acks, errs
}

func count(acks []export.Ack, a export.Ack) (n int) {
	for _, x := range acks {
		if x == a {
			n++
		}
	}
	return n
}

func testRaceSame(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 2).Take(3)
	for _, sl := range all {
		acks, errs := race(t, h, func(int) canon.SealedSlice { return sl })
		if ok, dup := count(acks, export.AckOK), count(acks, export.AckDuplicate); ok != 1 || dup != racers-1 {
			t.Fatalf("seq %d: got %d ok and %d dup, want 1 and %d: %v", sl.Head().Seq, ok, dup, racers-1, errs)
		}
	}
	h.holds(t, s, all)
}

func testRaceForks(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	c := NewChain(s, 2)
	first := c.Next()
	put(t, h.Sink, first, export.AckOK)
	forks := make([]canon.SealedSlice, racers)
	for i := range forks {
		forks[i] = c.Fork(uint64(i) + 1).Next()
	}
	acks, errs := race(t, h, func(i int) canon.SealedSlice { return forks[i] })
	if count(acks, export.AckOK) != 1 {
		t.Fatalf("got %v, want one ok: %v", acks, errs)
	}
	winner := forks[slices.Index(acks, export.AckOK)]
	for i, err := range errs {
		if acks[i] == 0 {
			refused(t, err, export.ErrConflict, &winner)
		}
	}
	h.holds(t, s, []canon.SealedSlice{first, winner})
}

func testLostReply(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 2).Take(4)
	put(t, h.Sink, all[0], export.AckOK)
	restore := h.Inject(LoseReply)
	c, cancel := context.WithTimeout(context.Background(), time.Second)
	for _, r := range h.Sink.PutBatch(c, all[1:3]) {
		passing(t, r.Err)
	}
	cancel()
	restore()
	h.eventually(t, s, all[1])
	// The same exporter, which does not know what became of it, and one that knows nothing.
	if r := h.Sink.PutBatch(ctx(t), all[1:]); r[0].Ack != export.AckDuplicate || r[1].Err != nil || r[2].Ack != export.AckOK {
		t.Fatalf("replay: got %+v, want the first one held", r)
	}
	putAll(t, h.Another(), all, export.AckDuplicate)
	h.holds(t, s, all)
}

// eventually waits until the ledger holds a slice whose answer was lost: it may still be on its way.
func (h *Harness) eventually(t *testing.T, s export.Stream, want canon.SealedSlice) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, sl := range h.Held(s) {
			if sl.Digest() == want.Digest() {
				return
			}
		}
	}
	t.Fatalf("seq %d was not stored, though only its answer was lost", want.Head().Seq)
}

func testSlow(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(2)
	put(t, h.Sink, all[0], export.AckOK)
	defer h.Inject(Slow)()
	start := time.Now()
	put(t, h.Sink, all[1], export.AckOK)
	if d := time.Since(start); d < 200*time.Millisecond {
		t.Fatalf("took %v: the fault was not injected", d)
	}
}

func testUnavailable(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(3)
	put(t, h.Sink, all[0], export.AckOK)
	restore := h.Inject(Unavailable)
	for _, r := range h.Sink.PutBatch(ctx(t), all[1:]) {
		passing(t, r.Err)
		var remote *export.RemoteError
		if h.Unavailable != nil && !h.Unavailable(r.Err) || h.Unavailable == nil && (!errors.As(r.Err, &remote) || remote.Status < 500) {
			t.Fatalf("got %v (%T), want a RemoteError with a status of 500 or more", r.Err, r.Err)
		}
	}
	h.holds(t, s, all[:1])
	restore()
	putAll(t, h.Sink, all[1:], export.AckOK)
	h.holds(t, s, all)
}

func testTimeout(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(2)
	put(t, h.Sink, all[0], export.AckOK)
	restore := h.Inject(Hang)
	c, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := h.Sink.Put(c, all[1])
	if passing(t, err); !errors.Is(err, export.ErrTimeout) {
		t.Fatalf("got %v, want ErrTimeout", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Fatalf("returned after %v, with a deadline of 200 ms", d)
	}
	restore()
	h.again(t, all[1])
	h.holds(t, s, all)
}

// again puts a slice whose outcome is unknown until it is answered.
func (h *Harness) again(t *testing.T, sl canon.SealedSlice) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err = h.Sink.Put(ctx(t), sl); err == nil {
			return
		}
		passing(t, err)
	}
	t.Fatalf("never acked: %v", err)
}

func testCancel(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(2)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Sink.Put(done, all[0]); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if _, _, _, err := h.Sink.Tip(done, s); !errors.Is(err, context.Canceled) {
		t.Fatalf("tip: got %v, want context.Canceled", err)
	}
	h.again(t, all[0])
	restore := h.Inject(Hang)
	live, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := h.Sink.Put(live, all[1])
	if passing(t, err); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	restore()
	h.again(t, all[1])
	h.holds(t, s, all)
}

func testReplay(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(1500)
	for part := range slices.Chunk(all, 500) {
		putAll(t, h.Sink, part, export.AckOK)
	}
	for _, sink := range []Sink{h.Sink, h.Another()} {
		for part := range slices.Chunk(all, 250) {
			putAll(t, sink, part, export.AckDuplicate)
		}
		put(t, sink, all[0], export.AckDuplicate)
		put(t, sink, all[777], export.AckDuplicate)
	}
	h.holds(t, s, all)
}

func testLargest(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	big := Largest(s)
	if h.Largest != 0 {
		big = NewChain(s, 1).NextRows((h.Largest - canon.MaxHeadSize) / canon.MaxRowSize)
	}
	put(t, h.Sink, big, export.AckOK)
	put(t, h.Sink, big, export.AckDuplicate)
	h.holds(t, s, []canon.SealedSlice{big})
}

func testBatch(t *testing.T, h *Harness) {
	var batch []canon.SealedSlice
	held := make(map[export.Stream][]canon.SealedSlice)
	for i := range 40 {
		s := Stream(t.Name(), i)
		held[s] = NewChain(s, 1+i%3).Take(1 + i%5)
		batch = append(batch, held[s]...)
	}
	if r := h.Sink.PutBatch(ctx(t), nil); len(r) != 0 {
		t.Fatalf("an empty batch: got %d results", len(r))
	}
	putAll(t, h.Sink, batch, export.AckOK)
	putAll(t, h.Sink, batch, export.AckDuplicate)
	for s, want := range held {
		h.holds(t, s, want)
	}
}

func testBatchFailure(t *testing.T, h *Harness) {
	good, gap, fork := NewChain(Stream(t.Name(), 0), 1), NewChain(Stream(t.Name(), 1), 1), NewChain(Stream(t.Name(), 2), 1)
	first, forked := fork.Next(), NewChain(fork.Stream, 1).Fork(5)
	put(t, h.Sink, first, export.AckOK)
	a, b, c := good.Take(3), gap.Take(3), forked.Take(2)
	batch := []canon.SealedSlice{a[0], a[1], b[1], b[2], c[0], c[1], NewChain(Stream(t.Name(), 3), 1).Next()}
	res := h.Sink.PutBatch(ctx(t), batch)
	for i, want := range []error{nil, nil, export.ErrGap, export.ErrGap, export.ErrConflict, nil, nil} {
		if i == 5 { // behind a slice that was refused: whatever it is called
			if res[i].Err == nil {
				t.Fatalf("item %d was acked behind a refused one", i)
			}
		} else if !errors.Is(res[i].Err, want) || want == nil && res[i].Ack != export.AckOK {
			t.Fatalf("item %d: got %v, %v, want %v", i, res[i].Ack, res[i].Err, want)
		}
	}
	h.holds(t, good.Stream, a[:2])
	h.holds(t, gap.Stream, nil)
	h.holds(t, fork.Stream, []canon.SealedSlice{first})
	h.holds(t, Stream(t.Name(), 3), batch[6:])
	putAll(t, h.Sink, append([]canon.SealedSlice{a[2]}, b...), export.AckOK)
}

func testRestart(t *testing.T, h *Harness) {
	s := Stream(t.Name(), 0)
	all := NewChain(s, 1).Take(6)
	put(t, h.Sink, all[0], export.AckOK)
	put(t, h.Another(), all[1], export.AckOK) // goes on where a former process stopped
	putAll(t, h.Another(), all[2:4], export.AckOK)
	putAll(t, h.Sink, all[4:], export.AckOK) // and the first one, whose memory of the tip is old
	h.holds(t, s, all)
	seq, d, ok, err := h.Another().Tip(ctx(t), s)
	if err != nil || !ok || seq != 5 || d != all[5].Digest() {
		t.Fatalf("tip: got %d %v %v %v", seq, d, ok, err)
	}
}

func testParallel(t *testing.T, h *Harness) {
	const workers, streams, rounds = 6, 5, 12
	var wg sync.WaitGroup
	held := make([][]canon.SealedSlice, workers*streams)
	for w := range workers {
		wg.Go(func() {
			chains := make([]*Chain, streams)
			for i := range chains {
				chains[i] = NewChain(Stream(t.Name(), w*streams+i), 2)
			}
			for range rounds {
				var batch []canon.SealedSlice
				for i, c := range chains {
					run := c.Take(2)
					held[w*streams+i] = append(held[w*streams+i], run...)
					batch = append(batch, run...)
				}
				for i, r := range h.Sink.PutBatch(ctx(t), batch) {
					if r.Ack != export.AckOK {
						t.Errorf("worker %d item %d: got %v, %v", w, i, r.Ack, r.Err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range held {
		if !t.Failed() {
			h.holds(t, Stream(t.Name(), i), held[i])
		}
	}
}
