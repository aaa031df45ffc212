//go:build linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/ron-accounting/ron-accounting/testing/performance/harness"
	"github.com/ron-accounting/ron-accounting/testing/performance/peers"
)

// heavyLimit is the number of keys beyond which the label-based peers are left out without -full.
const heavyLimit = 500_000

// record compares keyed counting: for each number of keys one hot key and 80/20, one thread and all cores. Everyone's counts are checked at the end.
func record(o *options) error {
	for _, n := range o.keys {
		if err := recordKeys(o, n); err != nil {
			return err
		}
		debug.FreeOSMemory()
	}
	return nil
}

// counter is a way of counting with the number of increments it was asked for.
type counter struct {
	peers.Counting
	name  string
	asked atomic.Uint64
}

func recordKeys(o *options, n int) (err error) {
	keys := peers.Keys(n)
	var cs []*counter
	defer func() {
		for _, c := range cs {
			if c.Close != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	for _, m := range peers.Makers() {
		if m.Heavy && n > heavyLimit && !o.full || !o.only.MatchString(m.Name) {
			continue
		}
		made, err := m.New(keys)
		if err != nil {
			return fmt.Errorf("%s with %d keys: %w", m.Name, n, err)
		}
		cs = append(cs, &counter{Counting: made, name: m.Name})
	}
	for _, hot := range []bool{true, false} {
		if n == 1 && !hot {
			continue
		}
		seqs := peers.Sequences(n, hot, 1)
		shape := "80/20"
		if hot {
			shape = "one hot key"
		}
		for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
			threads := "one thread"
			if workers > 1 {
				threads = fmt.Sprintf("%d threads, wall time", workers)
			}
			var list []harness.Contender
			for _, c := range cs {
				list = append(list, contender(c, seqs))
			}
			o.print(fmt.Sprintf("record: %d keys, %s, %s", n, shape, threads), peers.Base, workers, list)
			if workers == runtime.GOMAXPROCS(0) {
				break // one core: the two are the same
			}
		}
	}
	for _, c := range cs {
		if got, want := c.Total(), c.asked.Load(); got != want {
			return fmt.Errorf("%s counted %d of %d increments with %d keys", c.name, got, want, n)
		}
	}
	fmt.Fprintf(o.out, "  every contender's counts were read back and are exact (%d keys)\n\n", n)
	return nil
}

// contender walks the sequences, each worker from its own start, so that no run repeats what the branch predictor has just seen.
func contender(c *counter, seqs [][]uint32) harness.Contender {
	var turn atomic.Uint64
	return harness.Contender{Name: c.name, Run: func(w, n int) {
		c.asked.Add(uint64(n))
		for i := int(turn.Add(1)) + w*len(seqs)/2; n > 0; i++ {
			seq := seqs[i%len(seqs)]
			if n < len(seq) {
				seq = seq[:n]
			}
			c.Loop(seq)
			n -= len(seq)
		}
	}}
}
