package jetstream

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// The broker's error codes that have a meaning of their own.
const (
	codeWrongLast        = 10071 // wrong last sequence
	codeWrongLastCluster = 10164 // the same, from a replicated stream
	codeInFlight         = 10158 // a message with the same id is being stored
)

// tries bounds how often one slice is judged anew after the broker contradicted what was known.
const tries = 5

// A message that no server of a replicated stream answered, as while its leader is being elected or has just been, is offered so many
// times again; it was stored by none, and the expected sequence refuses a second. What lasts longer is the lane's to retry.
const (
	electionTries = 3
	electionWait  = 100 * time.Millisecond
)

// window bounds the messages that are published before their acks are awaited.
const window = 1024

// Put implements export.Exporter.
func (e *Exporter) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := e.PutBatch(ctx, []canon.SealedSlice{s})[0]
	return r.Ack, r.Err
}

// run is the slices of one chain in a batch, by their numbers.
type run struct {
	stream export.Stream
	items  []int
	hint   uint64 // see find
	tried  int
	future js.PubAckFuture
	c      *chain
}

// PutBatch implements export.BatchExporter. Chains are published side by side; in a chain a slice follows its
// predecessor's ack, whose sequence it names.
func (e *Exporter) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	out := make([]export.Result, len(slices))
	if err := e.greet(ctx); err != nil {
		err = e.classify(ctx, "handshake", err)
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	var runs []*run
	index := make(map[export.Stream]*run)
	for i := range slices {
		s := export.StreamOf(slices[i].Head())
		r := index[s]
		if r == nil {
			r = &run{stream: s}
			index[s], runs = r, append(runs, r)
		}
		r.items = append(r.items, i)
	}
	for len(runs) > 0 {
		left := runs[:0:0]
		for from := 0; from < len(runs); from += window {
			left = append(left, e.round(ctx, runs[from:min(from+window, len(runs))], slices, out)...)
		}
		runs = left
	}
	return out
}

// round takes the next slice of each run one step further and returns the runs that are not at their end.
func (e *Exporter) round(ctx context.Context, runs []*run, slices []canon.SealedSlice, out []export.Result) (left []*run) {
	e.learnTips(ctx, runs)
	for _, r := range runs {
		s := &slices[r.items[0]]
		ack, err := e.begin(ctx, r, s)
		switch {
		case err != nil:
			r.fail(out, e.classifyPut(ctx, err))
		case ack != 0:
			r.answer(out, ack)
		}
	}
	for _, r := range runs {
		if r.future != nil {
			e.end(ctx, r, &slices[r.items[0]], out)
		}
		if len(r.items) > 0 {
			left = append(left, r)
		}
	}
	return left
}

func (r *run) answer(out []export.Result, ack export.Ack) {
	out[r.items[0]] = export.Result{Ack: ack}
	r.items, r.tried = r.items[1:], 0
}

// fail ends the run: what follows a slice that failed can't be put either.
func (r *run) fail(out []export.Result, err error) {
	for _, i := range r.items {
		out[i] = export.Result{Err: err}
	}
	r.items = nil
}

func (e *Exporter) classifyPut(ctx context.Context, err error) error {
	if errors.Is(err, export.ErrGap) || errors.Is(err, export.ErrConflict) {
		return err
	}
	return e.classify(ctx, "put", err)
}

// readers bounds the questions for tips that are under way at once: after a start every chain has one.
const readers = 32

// learnTips reads the tips that are not known, side by side and from one list of parts. Begin asks again where that fails, or where the
// list had become too old for what a slice says.
func (e *Exporter) learnTips(ctx context.Context, runs []*run) {
	var unknown []*run
	for _, r := range runs {
		if r.c = e.chain(r.stream); !r.c.known {
			unknown = append(unknown, r)
		}
	}
	if len(unknown) < 2 {
		return
	}
	names, err := e.list(ctx)
	if err != nil {
		return
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(readers, len(unknown)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(unknown) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if c, err := e.tipIn(ctx, names, unknown[i].stream); err == nil {
					*unknown[i].c = c
				}
			}
		})
	}
	wg.Wait()
}

// begin judges a slice by the chain's tip and publishes it where it fits; else it returns the answer.
func (e *Exporter) begin(ctx context.Context, r *run, s *canon.SealedSlice) (export.Ack, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	h := s.Head()
	part := partOf(&h)
	for fresh := false; ; fresh = true {
		if !r.c.known {
			c, err := e.readTip(ctx, r.stream)
			if err != nil {
				return 0, err
			}
			*r.c, fresh = c, true
		}
		if r.c.held && h.Seq <= r.c.seq {
			same := h.Seq == r.c.seq && r.c.digest == s.Digest()
			if !same && h.Seq < r.c.seq {
				var err error
				if same, err = e.find(ctx, r.stream, h.Seq, s.Digest(), part, &r.hint); err != nil {
					return 0, err
				}
			}
			if same {
				return export.AckDuplicate, nil
			}
			return 0, e.refusal(r, export.ErrConflict, h.Seq)
		}
		if r.c.follows(&h) {
			break
		}
		if fresh {
			return 0, e.refusal(r, export.ErrGap, h.Seq)
		}
		r.c.known = false // another process may have put what is missing
	}
	return 0, e.publish(ctx, r, s, part)
}

// follows reports whether a slice is the next of a chain.
func (c *chain) follows(h *canon.Head) bool {
	first, next := h.Seq, uint64(0)
	if h.Gap != nil {
		first = h.Gap.From
	}
	if c.held {
		next = c.seq + 1
	}
	return first == next && c.held == (h.Prev != nil) && (!c.held || *h.Prev == c.digest)
}

func (e *Exporter) publish(ctx context.Context, r *run, s *canon.SealedSlice, part string) error {
	if _, err := e.part(ctx, part, true); err != nil {
		return err
	}
	last := uint64(0)
	if r.c.part == part {
		last = r.c.last
	}
	d := s.Digest()
	// The client offers it again by itself, also when Put has returned, and the slice's memory may be another's by then.
	own := bytes.Clone(s.Bytes())
	m := &nats.Msg{Subject: subject(r.stream, part), Data: own, Header: nats.Header{
		js.MsgIDHeader:               {hex.EncodeToString(d[:])},
		js.ExpectedStreamHeader:      {namePrefix + part},
		js.ExpectedLastSubjSeqHeader: {strconv.FormatUint(last, 10)},
		headerSeq:                    {strconv.FormatUint(s.Head().Seq, 10)},
		headerB3:                     {d.String()},
	}}
	f, err := e.js.PublishMsgAsync(m, js.WithRetryAttempts(electionTries), js.WithRetryWait(electionWait))
	r.future = f
	return err
}

// end awaits a published slice's ack.
func (e *Exporter) end(ctx context.Context, r *run, s *canon.SealedSlice, out []export.Result) {
	f := r.future
	r.future = nil
	select {
	case a := <-f.Ok():
		e.told.Store(nil)
		h := s.Head()
		part := partOf(&h)
		if a.Stream != namePrefix+part {
			r.c.known = false
			r.fail(out, &export.RemoteError{Op: "put", Status: 502, Err: fmt.Errorf("acked by stream %q, want %q", a.Stream, namePrefix+part)})
			return
		}
		*r.c = chain{known: true, held: true, seq: h.Seq, digest: s.Digest(), part: part, last: a.Sequence}
		if a.Duplicate { // it was there; what follows it may be as well
			r.c.known = false
			r.answer(out, export.AckDuplicate)
			return
		}
		r.answer(out, export.AckOK)
	case err := <-f.Err():
		r.c.known = false
		if errors.Is(err, js.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			e.forget() // nobody listens on the subject: the part may be gone
		}
		var api *js.APIError
		if errors.As(err, &api) && r.tried < tries {
			switch api.ErrorCode {
			case codeWrongLast, codeWrongLastCluster:
				r.tried++ // judged anew in the next round
				return
			case codeInFlight:
				r.tried++
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
				return
			case js.JSErrCodeStreamNotFound:
				e.forget()
			}
		}
		r.fail(out, e.classify(ctx, "put", err))
	case <-ctx.Done():
		r.c.known = false
		r.fail(out, e.classify(ctx, "put", ctx.Err()))
	}
}

// forget drops what is known of the parts: one was deleted.
func (e *Exporter) forget() {
	e.mu.Lock()
	clear(e.parts)
	e.mu.Unlock()
}

func (e *Exporter) chain(s export.Stream) *chain {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.chains[s]
	if c == nil {
		if len(e.chains) >= e.o.MaxStreams {
			clear(e.chains) // the broker knows them
		}
		c = &chain{}
		e.chains[s] = c
	}
	return c
}

func (e *Exporter) refusal(r *run, kind error, seq uint64) error {
	x := &export.RefusedError{Kind: kind, Stream: r.stream, Seq: seq, TipOK: r.c.held, TipSeq: r.c.seq, TipDigest: r.c.digest}
	if r.c.held {
		x.ExpectedSeq = r.c.seq + 1
	}
	return x
}
