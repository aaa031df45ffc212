package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
)

func recordCases() []Case {
	unsteady := func(keys int) string {
		if keys > 1 {
			return leavesCache
		}
		return ""
	}
	var out []Case
	for _, keys := range []int{1, 10_000, 200_000} {
		out = append(out, Case{fmt.Sprintf("Record/keys=%d", keys), unsteady(keys), func(*env) (op, error) { return recordOp(keys) }})
	}
	return append(out,
		Case{"RecordParallel/keys=1", "needs all cores to itself", func(*env) (op, error) { return parallelOp() }},
		Case{"CounterAdd/keys=1", "", func(*env) (op, error) { return counterOp() }})
}

// draws is how many keys are drawn beforehand.
const draws = 1 << 16

// keysOf are n keys, and draws of them of which 80 % fall into the first fifth.
func keysOf(n int) (keys []accounting.Key, order []uint32) {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	keys = make([]accounting.Key, n)
	for i := range keys {
		keys[i] = accounting.Key{Tenant: accounting.IDFromUint64(uint64(i%100) + 1), Subject: accounting.IDFromUint64(r.Uint64()), Namespace: uint32(i % 4)}
	}
	order = make([]uint32, draws)
	hot := max(n/5, 1)
	for i := range order {
		if order[i] = uint32(r.IntN(hot)); n > hot && r.IntN(5) == 0 {
			order[i] = uint32(hot + r.IntN(n-hot))
		}
	}
	return keys, order
}

// recorder is one without background work, with the keys made.
func recorder(keys []accounting.Key) (*accounting.Recorder, error) {
	rec, err := accounting.New(accounting.Options{CapacityRows: max(1000, len(keys)+len(keys)/4), Window: time.Hour})
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if _, err := rec.Counter(k); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

func closer(rec *accounting.Recorder) func() error {
	return func() error { return rec.Close(background) }
}

func recordOp(n int) (op, error) {
	keys, order := keysOf(n)
	rec, err := recorder(keys)
	if err != nil {
		return op{}, err
	}
	one := keys[0]
	return op{done: closer(rec), run: timed(func(times int) error {
		if n == 1 {
			for range times {
				if err := rec.Record(one, 1); err != nil {
					return err
				}
			}
			return nil
		}
		for i := range times {
			if err := rec.Record(keys[order[i%draws]], 1); err != nil {
				return err
			}
		}
		return nil
	})}, nil
}

func counterOp() (op, error) {
	keys, _ := keysOf(1)
	rec, err := recorder(keys)
	if err != nil {
		return op{}, err
	}
	c, err := rec.Counter(keys[0])
	return op{done: closer(rec), run: timed(func(times int) error {
		for range times {
			c.Add(1)
		}
		return nil
	})}, err
}

// parallelOp records one key from every core at once; an operation's time is wall time over all of them.
func parallelOp() (op, error) {
	keys, _ := keysOf(1)
	rec, err := recorder(keys)
	cores := runtime.GOMAXPROCS(0)
	return op{done: closer(rec), run: timed(func(times int) error {
		errs := make([]error, cores)
		var wg sync.WaitGroup
		for c := range cores {
			wg.Go(func() {
				for range times / cores {
					if err := rec.Record(keys[0], 1); err != nil {
						errs[c] = err
						return
					}
				}
			})
		}
		wg.Wait()
		return errs[0]
	})}, err
}
