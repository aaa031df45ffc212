package bench

import (
	"context"
	"fmt"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
)

// background is for closing what a case opened, whatever became of its own context.
var background = context.Background()

func sealCases() []Case {
	var out []Case
	for _, rows := range []int{1024, 2048, 4096} {
		out = append(out, Case{fmt.Sprintf("Seal/rows=%d", rows), "", func(e *env) (op, error) { return sealOp(e, 1, rows) }})
	}
	return append(out, Case{"SealMany/streams=3000/rows=100", leavesCache, func(e *env) (op, error) { return sealOp(e, 3000, 100) }})
}

// sealOp counts one unit on every row, then times SealNow alone: read, encode, hash and the copy that a caller of SealNow owns.
func sealOp(e *env, streams, rows int) (op, error) {
	rec, err := accounting.New(accounting.Options{CapacityRows: streams * rows * 5 / 4, Window: time.Hour, MaxStreams: streams})
	if err != nil {
		return op{}, err
	}
	counters := make([]accounting.Counter, 0, streams*rows)
	for i := range streams * rows {
		k := accounting.Key{Tenant: accounting.IDFromUint64(uint64(i/rows) + 1), Subject: accounting.IDFromUint64(uint64(i)*0x9e3779b97f4a7c15 + 1)}
		c, err := rec.Counter(k)
		if err != nil {
			return op{}, err
		}
		counters = append(counters, c)
	}
	size := 0
	once := func() (time.Duration, error) {
		for i, c := range counters {
			c.Add(uint64(i&1023) + 1)
		}
		start := time.Now()
		slices, err := rec.SealNow(e.ctx)
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		if len(slices) != streams {
			return 0, fmt.Errorf("sealed %d slices, want %d", len(slices), streams)
		}
		size = 0
		for i := range slices {
			size += len(slices[i].Bytes())
		}
		return took, nil
	}
	if _, err := once(); err != nil { // the first sorts the keys
		return op{}, err
	}
	return op{bytes: size, done: closer(rec), run: func(n int) (sum time.Duration, err error) {
		for range n {
			took, err := once()
			if err != nil {
				return 0, err
			}
			sum += took
		}
		return sum, nil
	}}, nil
}
