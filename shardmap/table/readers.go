package table

import (
	"runtime"
	"sync/atomic"
	"time"
)

const readerStripes = 16

// readerCount counts the sections begun in one phase on one stripe of the atomic path.
type readerCount struct {
	n atomic.Int64
	_ [56]byte
}

// grace returns when every section that began before it was called has ended.
//
// Pinned: a stop of the world can't complete while a goroutine is pinned, so one that begins now and completes is a
// grace period. ReadMemStats is one; a GC cycle may never come and debug.SetGCPercent does not stop.
// Atomic: sections are counted per phase. A section may add to the phase it had loaded before the last flip, so two
// flips are needed: after both waits every section that was counted before the first has been waited for.
func (c *Core) grace() {
	if Pinned {
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return
	}
	for range 2 {
		old := int(atomic.AddUint32(&c.phase, 1)-1) & 1
		for s := range readerStripes {
			for spins := 0; c.readers[s*2+old].n.Load() != 0; spins++ {
				if spins < 100 {
					runtime.Gosched()
				} else {
					time.Sleep(20 * time.Microsecond)
				}
			}
		}
	}
}
