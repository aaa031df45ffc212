package rig

// The run's heap is kept small, so that what is resident is what is used: the steady state allocates little (some MiB a second,
// in the embedded ledger), so that a collection more now and then costs no time worth naming. GOGC and GOMEMLIMIT of the
// environment go before this.

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
)

const (
	gcPercent = 7         // garbage over what lives
	heapSlack = 512 << 10 // fragments, and what a second more may bring
)

// tightenHeap sets the percentage; undo sets back what was.
func tightenHeap() (undo func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(gcPercent)
	return func() {
		debug.SetGCPercent(before)
		debug.SetMemoryLimit(math.MaxInt64)
	}
}

// relaxHeap ends that: what follows is judged no more, and reading a ledger back makes more garbage than the limit has room for.
func relaxHeap() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(math.MaxInt64)
	debug.SetGCPercent(100)
}

// limitHeap sets the soft limit to what lives now, the garbage that gcPercent allows and the runtime's own memory: the limit
// follows what lives, so that it never makes the collector work more often than the percentage does, but makes it give back what is free.
func limitHeap() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	of := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	runtimes := of(0) - of(1) - of(2) - of(3) - of(4)
	live := of(5)
	debug.SetMemoryLimit(runtimes + live + live*gcPercent/100 + of(3) + heapSlack)
}
