package pprof

import (
	"fmt"
	"strings"
)

// Kind is one sort of capture.
type Kind string

// The kinds that Start takes. CPU, Fgprof and Trace observe from Start to Stop; Mutex and Block are
// what happened between Start and Stop; Heap and Goroutine are the state at Stop.
const (
	CPU       Kind = "cpu"       // on-CPU samples, 100 a second and core
	Heap      Kind = "heap"      // live and allocated objects and bytes, after a collection
	Mutex     Kind = "mutex"     // time others waited for locks, by the holder's stack
	Block     Kind = "block"     // time blocked on channels, locks and conditions
	Goroutine Kind = "goroutine" // every goroutine's stack
	Fgprof    Kind = "fgprof"    // wall clock: on and off CPU together
	Trace     Kind = "trace"     // execution trace, for go tool trace
)

// Kinds returns all kinds in the order of the constants.
func Kinds() []Kind { return []Kind{CPU, Heap, Mutex, Block, Goroutine, Fgprof, Trace} }

// ParseKind returns the kind of that name, or ErrKind naming those there are.
func ParseKind(s string) (Kind, error) {
	var all []string
	for _, k := range Kinds() {
		if string(k) == s {
			return k, nil
		}
		all = append(all, string(k))
	}
	return "", fmt.Errorf("%w: got %.40q, want one of %s", ErrKind, s, strings.Join(all, ", "))
}

// FileName is the name, inside the capture's directory, of the kind's file.
func (k Kind) FileName() string {
	if k == Trace {
		return "trace.out"
	}
	return string(k) + ".pb.gz"
}

// Profile reports whether the kind's file is a pprof profile, which NewGraph can draw.
func (k Kind) Profile() bool { return k != Trace }
