//go:build linux

package main

import (
	"fmt"

	"github.com/ron-accounting/ron-accounting/testing/performance/harness"
	"github.com/ron-accounting/ron-accounting/testing/performance/peers"
)

// growth shows that a Record costs what it did, however many windows, tenants and evictions the recorder has behind it.
func growth(o *options) error {
	const n = 10_000
	keys := peers.Keys(n)
	var cs []*counter
	for _, g := range peers.Pasts() {
		made, err := g.New(keys)
		if err != nil {
			return err
		}
		defer made.Close()
		cs = append(cs, &counter{Counting: made, name: g.Name})
	}
	for _, hot := range []bool{true, false} {
		seqs := peers.Sequences(n, hot, 1)
		shape := map[bool]string{true: "one hot key", false: "80/20"}[hot]
		var list []harness.Contender
		for _, c := range cs {
			list = append(list, contender(c, seqs))
		}
		o.print(fmt.Sprintf("growth: Record, %d keys, %s, one thread, after …", n, shape), "new", 1, list)
	}
	for _, c := range cs {
		if got, want := c.Total(), c.asked.Load(); got != want {
			return fmt.Errorf("%s counted %d of %d increments", c.name, got, want)
		}
	}
	return nil
}
