package peers

import (
	"context"
	"fmt"
	"math/bits"

	"github.com/ron-accounting/ron-accounting"
)

// recorder makes a recorder with room for the keys and counts each once, so that the loop meets no new key.
func recorder(keys []accounting.Key) (*accounting.Recorder, error) {
	r, err := accounting.New(accounting.Options{CapacityRows: max(1024, len(keys)+len(keys)/4)})
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if err := r.Record(keys[i], 1); err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i, len(keys), err)
		}
	}
	if _, err := r.SealNow(context.Background()); err != nil {
		return nil, err
	}
	return r, nil
}

// total is what was sealed by a last seal: the increments as a ledger would get them.
func total(r *accounting.Recorder) func() uint64 {
	return func() (n uint64) {
		slices, err := r.SealNow(context.Background())
		if err != nil {
			panic(fmt.Errorf("the last seal: %w", err)) // of a recorder made above: not to be reached
		}
		for _, s := range slices {
			for _, row := range s.Rows() {
				var carry uint64
				if n, carry = bits.Add64(n, row.Inc, 0); carry != 0 {
					return 0
				}
			}
		}
		return n
	}
}

func oursRecord(keys []accounting.Key) (Counting, error) {
	r, err := recorder(keys)
	if err != nil {
		return Counting{}, err
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			if r.Record(keys[i], 1) != nil {
				panic("a counted key was refused")
			}
		}
	}, Total: total(r), Close: func() error { return r.Close(context.Background()) }}, nil
}

func oursHandle(keys []accounting.Key) (Counting, error) {
	r, err := recorder(keys)
	if err != nil {
		return Counting{}, err
	}
	cs := make([]accounting.Counter, len(keys))
	for i := range keys {
		if cs[i], err = r.Counter(keys[i]); err != nil {
			return Counting{}, err
		}
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			cs[i].Add(1)
		}
	}, Total: total(r), Close: func() error { return r.Close(context.Background()) }}, nil
}
