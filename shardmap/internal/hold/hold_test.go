//go:build linux && amd64

package hold

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestStopWaitsForAssembly is the canary for new Go releases: a goroutine in an assembly function is not preempted, and
// a stop of the world (as table's grace is one) does not complete before it has left. Were that to change, the direct
// path would lose counts in a sweep: build it out then.
func TestStopWaitsForAssembly(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	arranged := 0
	for range 20 {
		var in, out uint32
		left := make(chan struct{})
		go func() {
			cycles(100_000_000, &in, &out) // some tens of milliseconds: twice the time slice after which the scheduler preempts
			close(left)
		}()
		for atomic.LoadUint32(&in) == 0 {
			runtime.Gosched()
		}
		begunInside := atomic.LoadUint32(&out) == 0
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		if atomic.LoadUint32(&out) == 0 {
			t.Fatal("the world was stopped while a goroutine was inside an assembly function")
		}
		<-left
		if begunInside {
			if arranged++; arranged == 3 {
				return
			}
		}
	}
	t.Fatalf("only %d of 20 stops began while the function ran", arranged)
}
