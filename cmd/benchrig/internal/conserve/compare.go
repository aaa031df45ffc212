package conserve

import (
	"fmt"
	"math/big"
)

// Difference is what the ledger holds against what was counted.
type Difference struct {
	Ledger   *big.Int // units the ledger holds, all keys
	Lost     *big.Int // sum over keys of what the ledger lacks
	Double   *big.Int // sum over keys of what it has too much, keys that nobody counted included
	Keys     int      // that were counted
	Examples []string // the first few keys that differ
}

// Expected is one key and its range: what the ledger must hold at least and may hold at most. They are equal where the
// generator saw every call return; a crash leaves calls of which nobody knows.
type Expected struct {
	Key         Key
	Least, Most uint64
}

// maxExamples bounds Difference.Examples.
const maxExamples = 5

// Compare checks every expected key, and that the book holds no other.
func (b *Book) Compare(expected func(yield func(Expected) bool)) Difference {
	d := Difference{Ledger: new(big.Int), Lost: new(big.Int), Double: new(big.Int)}
	held := 0
	for _, u := range b.all() {
		add(d.Ledger, u)
		held++
	}
	seen := 0
	known := make(map[Key]struct{}, held)
	for e := range expected {
		a, i := e.Key.split()
		have, ok := b.units[a][i]
		if ok {
			seen++
			known[e.Key] = struct{}{}
		}
		if e.Most > 0 {
			d.Keys++
		}
		switch {
		case have < e.Least:
			add(d.Lost, e.Least-have)
			d.example(e.Key, "lost", e, have)
		case have > e.Most:
			add(d.Double, have-e.Most)
			d.example(e.Key, "double", e, have)
		}
	}
	if seen < held {
		for k, u := range b.all() {
			if _, ok := known[k]; !ok {
				add(d.Double, u)
				d.example(k, "never counted", Expected{Key: k}, u)
			}
		}
	}
	return d
}

func (d *Difference) example(k Key, what string, e Expected, have uint64) {
	if len(d.Examples) >= maxExamples {
		return
	}
	want := fmt.Sprint(e.Least)
	if e.Most != e.Least {
		want = fmt.Sprintf("%d to %d", e.Least, e.Most)
	}
	d.Examples = append(d.Examples, fmt.Sprintf("%s: tenant %x… subject %x… ns %d %s: ledger has %d, counted %s",
		what, k.Tenant[:4], k.Subject[:4], k.Namespace, k.Dimension, have, want))
}

func add(sum *big.Int, u uint64) { sum.Add(sum, new(big.Int).SetUint64(u)) }
