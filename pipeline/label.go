package pipeline

import (
	"context"
	"runtime/pprof"
)

// Goroutines of the pipeline carry the profiler's label "stage", so that a profile says what sealing and what the WAL cost (lanes do
// so themselves, with "export"). A caller's goroutine, in SealNow, keeps its own labels.
var (
	sealLabels = stageLabels("seal")
	walLabels  = stageLabels("wal")
)

func stageLabels(name string) context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels("stage", name))
}

// inWAL labels the ticker's goroutine while it commits; back labels it as sealing again. Under sealMu.
func (p *Pipeline) inWAL() (back func()) {
	if !p.s.ticking {
		return func() {}
	}
	pprof.SetGoroutineLabels(walLabels)
	return func() { pprof.SetGoroutineLabels(sealLabels) }
}
