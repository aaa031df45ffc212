package peers

import (
	"context"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting"
)

// clock is one that the caller moves.
type clock struct{ t time.Duration }

func (c *clock) Now() time.Time           { return time.Unix(1_800_000_000, 0).Add(c.t) }
func (c *clock) Monotonic() time.Duration { return c.t }

// Grown is a recorder with a past: the keys of a loop, and what else happened to it.
type Grown struct {
	Name      string
	Windows   int // sealed before
	Tenants   int // with a row each, beside the keys
	Evictions int // rows that came and went
}

// Pasts are the recorders that are compared: one made just now, and three that have something behind them.
func Pasts() []Grown {
	return []Grown{
		{Name: "new"},
		{Name: "2,000 windows", Windows: 2_000},
		{Name: "100,000 tenants", Windows: 1, Tenants: 100_000},
		{Name: "1,000,000 evictions", Windows: 20, Evictions: 1_000_000},
	}
}

// New gives the recorder its past, which it checks, and ends with the keys in it.
func (g Grown) New(keys []accounting.Key) (Counting, error) {
	c := new(clock)
	r, err := accounting.New(accounting.Options{CapacityRows: 200_000, IdleWindows: 1, Clock: c})
	if err != nil {
		return Counting{}, err
	}
	other := func(i int) accounting.Key {
		return accounting.Key{Tenant: accounting.IDFromUint64(uint64(i%max(g.Tenants, 1)) + 1), Subject: accounting.IDFromUint64(uint64(i))}
	}
	var units uint64
	for w := range g.Windows {
		c.t += 300 * time.Second
		for i := range keys {
			units++
			if err := r.Record(keys[i], 1); err != nil {
				return Counting{}, err
			}
		}
		for i := range g.Tenants + g.Evictions/g.Windows {
			units++
			if err := r.Record(other(w*g.Evictions/g.Windows+i), 1); err != nil {
				return Counting{}, err
			}
		}
		if _, err := r.SealNow(context.Background()); err != nil {
			return Counting{}, err
		}
	}
	for i := range keys { // in the same window still: idle rows go when one ends
		if err := r.Record(keys[i], 1); err != nil {
			return Counting{}, err
		}
	}
	read := total(r)
	if got := read(); got != uint64(len(keys)) {
		return Counting{}, fmt.Errorf("%s: %d units open at the end of the past, want %d", g.Name, got, len(keys))
	}
	return Counting{Loop: func(seq []uint32) {
		for _, i := range seq {
			if r.Record(keys[i], 1) != nil {
				panic("a counted key was refused")
			}
		}
	}, Total: read, Close: func() error { return r.Close(context.Background()) }}, nil
}
