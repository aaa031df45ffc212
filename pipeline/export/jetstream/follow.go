package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// FollowOptions of Follow; zero fields have the default.
type FollowOptions struct {
	Once    bool          // return when everything that is there has been read; else go on until the context ends
	Poll    time.Duration // between looks for new messages; 250 ms
	Batch   int           // messages of one put; 500
	OnBatch func(Followed)
	OnError func(error) // of each look that failed, where Follow goes on; nil again after one that did not
}

// Followed counts what Follow did since it began.
type Followed struct{ Read, Stored, Duplicates uint64 }

// errBehind: a slice's predecessor has not been read yet; it may stand in another month.
var errBehind = errors.New("behind")

// errDst: the destination failed; it is the follower's own, and nobody else will say so.
var errDst = errors.New("the destination")

// Follow reads the slices of every chain and month from JetStream and puts them into dst, each chain in order, which checks
// the chains; what dst holds already is a duplicate. It keeps no position of its own: begun anew it reads from the
// start. It ends with the context's error; with dst's refusal, where a chain is broken or forked; with dst's failure, where three
// looks in a row brought nothing else; and with Once with the broker's, too. Else a broker that is away is waited for, and OnError told.
func Follow(ctx context.Context, url string, o Options, dst export.BatchExporter, f FollowOptions) (st Followed, err error) {
	if f.Poll <= 0 {
		f.Poll = 250 * time.Millisecond
	}
	if f.Batch <= 0 {
		f.Batch = 500
	}
	e, err := Connect(ctx, url, o)
	if err != nil {
		return st, err
	}
	defer e.Close()
	next := make(map[string]uint64) // the sequence to read next, by name
	for idle := 0; ; {
		before := st
		names, err := e.list(ctx)
		slices.Reverse(names) // oldest first: a chain's slices go from month to month
		var behind error
		for _, n := range names {
			if err == nil {
				next[n] = max(next[n], 1)
				var at uint64
				at, err = e.drain(ctx, n, next[n], dst, &f, &st)
				next[n] = at
				if errors.Is(err, errBehind) {
					behind, err = err, nil
				}
			}
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return st, ctx.Err()
		case errors.Is(err, export.ErrConflict), errors.Is(err, canon.ErrSchema):
			return st, err
		case err == nil && behind == nil && f.Once:
			return st, nil
		case st != before:
			idle = 0
		default:
			idle++
		}
		// What is behind must come by itself while other months are read; a lasting error of the network ends only Once.
		if behind != nil && idle >= 3 {
			return st, behind
		}
		if err != nil && (f.Once || errors.Is(err, errDst)) && idle >= 3 {
			return st, err
		}
		if f.OnError != nil {
			f.OnError(plain(err))
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-time.After(f.Poll):
		}
	}
}

// drain reads one part from a sequence on, to its end as of now, and returns the sequence to go on from.
func (e *Exporter) drain(ctx context.Context, name string, from uint64, dst export.BatchExporter, f *FollowOptions, st *Followed) (uint64, error) {
	s, err := e.part(ctx, strings.TrimPrefix(name, namePrefix), false)
	if err != nil || s == nil {
		return from, err
	}
	info, err := s.Info(ctx)
	if err != nil || info.State.LastSeq < from {
		return from, err
	}
	cons, err := s.OrderedConsumer(ctx, js.OrderedConsumerConfig{DeliverPolicy: js.DeliverByStartSequencePolicy, OptStartSeq: from, InactiveThreshold: time.Minute})
	if err != nil {
		return from, err
	}
	for from <= info.State.LastSeq {
		got, err := cons.Fetch(f.Batch, js.FetchMaxWait(2*time.Second))
		if err != nil {
			return from, err
		}
		var batch []canon.SealedSlice
		var seqs []uint64
		for m := range got.Messages() {
			md, err := m.Metadata()
			if err != nil {
				return from, err
			}
			sl, err := canon.View(m.Data())
			if err != nil {
				return from, fmt.Errorf("accounting/jetstream: stream %s sequence %d: %w", name, md.Sequence.Stream, err)
			}
			if want := m.Headers().Get(headerB3); want != sl.Digest().String() {
				return from, fmt.Errorf("%w: stream %s sequence %d: digest: got %v, want %.70q", canon.ErrSchema, name, md.Sequence.Stream, sl.Digest(), want)
			}
			batch, seqs = append(batch, sl), append(seqs, md.Sequence.Stream)
			if md.Sequence.Stream >= info.State.LastSeq {
				break
			}
		}
		if len(batch) == 0 {
			return from, got.Error()
		}
		for i, r := range dst.PutBatch(ctx, batch) {
			switch {
			case errors.Is(r.Err, export.ErrGap):
				return seqs[i], fmt.Errorf("%w: stream %s sequence %d: %w", errBehind, name, seqs[i], r.Err)
			case r.Err != nil:
				return seqs[i], fmt.Errorf("accounting/jetstream: stream %s sequence %d: %w: %w", name, seqs[i], errDst, r.Err)
			case r.Ack == export.AckOK:
				st.Stored++
			default:
				st.Duplicates++
			}
			st.Read++
			from = seqs[i] + 1
		}
		if f.OnBatch != nil {
			f.OnBatch(*st)
		}
	}
	return from, nil
}
