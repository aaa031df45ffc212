// Package stage names the pipeline's four stages and labels goroutines with them, so that a profile
// says how much of a process went to recording, sealing, the write-ahead log and exporting.
//
// It imports the standard library only and is meant for hot code: Enter costs a few nanoseconds and
// does not allocate. Do not call it inside Record itself (a label costs more than the record); label
// the goroutine that records, once.
//
// Package pprof reads these labels when it draws flame graphs and when its flight recorder watches
// stages; any other tool sees them as the pprof label "stage" and as execution-trace regions.
package stage

import (
	"context"
	"runtime/pprof"
	"runtime/trace"
)

// Key is the pprof label under which a stage is found in a profile.
const Key = "stage"

// Stage is one part of the pipeline. The zero value is "no stage".
type Stage uint8

// The stages, in the order in which an increment passes them.
const (
	None   Stage = iota // not labelled
	Record              // producers counting
	Seal                // scan, encode, digest
	WAL                 // append and fsync
	Export              // sinks, retries, acks
)

var names = [...]string{"", "record", "seal", "wal", "export"}

// contexts holds one labelled context a stage, made once, so that Enter allocates nothing. It is
// never written after initialisation.
var contexts = func() (c [len(names)]context.Context) {
	c[None] = context.Background()
	for s := Record; int(s) < len(names); s++ {
		c[s] = pprof.WithLabels(context.Background(), pprof.Labels(Key, names[s]))
	}
	return c
}()

// String returns the label's value: record, seal, wal, export, or "" for None and unknown values.
func (s Stage) String() string {
	if int(s) < len(names) {
		return names[s]
	}
	return ""
}

// Parse returns the stage of that name; ok is false if there is none.
func Parse(name string) (s Stage, ok bool) {
	for s := Record; int(s) < len(names); s++ {
		if names[s] == name {
			return s, true
		}
	}
	return None, false
}

// Enter labels the calling goroutine, and the goroutines it starts from now on, with s. It replaces
// all labels the goroutine has. None, and values outside the constants, take the labels off. A stage inside
// another is left by entering the outer one again:
//
//	stage.Enter(stage.WAL)
//	defer stage.Enter(stage.Seal)
func Enter(s Stage) {
	if int(s) >= len(names) {
		s = None
	}
	pprof.SetGoroutineLabels(contexts[s])
}

// Do runs fn with the label added to ctx's labels and with an execution-trace region of the same name,
// and gives the goroutine ctx's labels back when fn returns. It allocates; use Enter in hot loops.
func Do(ctx context.Context, s Stage, fn func(context.Context)) {
	name := s.String()
	if name == "" {
		fn(ctx)
		return
	}
	pprof.Do(ctx, pprof.Labels(Key, name), func(ctx context.Context) {
		defer trace.StartRegion(ctx, name).End()
		fn(ctx)
	})
}
