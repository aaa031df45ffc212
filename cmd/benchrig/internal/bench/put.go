package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

func putCases() []Case {
	return []Case{
		{"IdempotentPut", schedules, idempotentOp},
		{"WALSeal/slices=64/rows=100", waits, func(e *env) (op, error) { return walOp(e, 64, 100) }},
		{"LedgerPut/slices=64/rows=100", waits, func(e *env) (op, error) { return ledgerOp(e, 64, 100) }},
	}
}

// mock answers ok and duplicate in turn, after a while.
type mock struct{ latency time.Duration }

func (m mock) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	if m.latency > 0 {
		t := time.NewTimer(m.latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return export.AckOK + export.Ack(s.Head().Seq%2), nil
}

// idempotentOp counts one unit, seals it and waits for the ack of a mock sink: a slice's whole way through its lane.
func idempotentOp(e *env) (op, error) {
	rec, err := accounting.Open(accounting.Options{Window: time.Hour, Sinks: []accounting.Sink{{Name: "mock", Exporter: mock{e.latency}, Required: true}}})
	if err != nil {
		return op{}, err
	}
	key := accounting.Key{Tenant: accounting.IDFromUint64(1), Subject: accounting.IDFromUint64(2)}
	return op{done: closer(rec), run: timed(func(n int) error {
		for range n {
			if err := rec.Record(key, 1); err != nil {
				return err
			}
			if err := rec.Flush(e.ctx); err != nil {
				return err
			}
		}
		return nil
	})}, nil
}

// ledgerOp puts a batch of slices, each of a stream of its own, into the embedded ledger: durable when it returns.
func ledgerOp(e *env, streams, rows int) (op, error) {
	l, err := ledger.Open(filepath.Join(e.dir, "bench.db"), ledger.Options{})
	if err != nil {
		return op{}, err
	}
	chains := make([]canon.Head, streams)
	for i := range chains {
		chains[i] = head()
		chains[i].Seq, chains[i].Prev, chains[i].Tenant = 0, nil, canon.IDFromUint64(uint64(i)+1)
	}
	in := rowSets(rows)[0]
	return op{done: l.Close, bytes: rows * streams * 24, run: func(n int) (sum time.Duration, err error) {
		for range n {
			batch := make([]canon.SealedSlice, streams)
			for i := range batch {
				h := &chains[i]
				if batch[i], err = canon.Encode(*h, in); err != nil {
					return 0, err
				}
				d := batch[i].Digest()
				h.Seq, h.Prev = h.Seq+1, &d
			}
			start := time.Now()
			results := l.PutBatch(e.ctx, batch)
			sum += time.Since(start)
			for _, r := range results {
				if r.Err != nil || r.Ack != export.AckOK {
					return 0, fmt.Errorf("put: ack %v: %w", r.Ack, r.Err)
				}
			}
		}
		return sum, nil
	}}, nil
}

// walOp seals streams of so many rows each as one durable commit of the WAL: encode, hash, write, fsync.
func walOp(e *env, streams, rows int) (op, error) {
	rec, err := accounting.Open(accounting.Options{
		Profile: accounting.Macronode, WAL: &wal.Options{Dir: filepath.Join(e.dir, "wal")}, Window: time.Hour, CapacityRows: streams * rows * 5 / 4,
		Sinks: []accounting.Sink{{Name: "mock", Exporter: mock{}, Required: true}},
	})
	if err != nil {
		return op{}, err
	}
	keys := make([]accounting.Key, streams*rows)
	for i := range keys {
		keys[i] = accounting.Key{Tenant: accounting.IDFromUint64(uint64(i/rows) + 1), Subject: accounting.IDFromUint64(uint64(i) + 1)}
	}
	return op{done: closer(rec), run: func(n int) (sum time.Duration, err error) {
		for range n {
			for _, k := range keys {
				if err := rec.Record(k, 1); err != nil {
					return 0, err
				}
			}
			start := time.Now()
			slices, err := rec.SealNow(e.ctx)
			sum += time.Since(start)
			if err != nil || len(slices) != streams {
				return 0, fmt.Errorf("sealed %d slices, want %d: %w", len(slices), streams, err)
			}
			if err := rec.Flush(e.ctx); err != nil { // the queue is empty again
				return 0, err
			}
		}
		return sum, nil
	}}, nil
}
