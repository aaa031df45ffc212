package pprof

import (
	"bytes"
	"errors"
	"fmt"
	rpprof "runtime/pprof"
	"runtime/trace"
	"strings"

	"github.com/felixge/fgprof"
	"github.com/google/pprof/profile"
)

// The runtime's observers behind one shape: begin starts one writing to f, the function it returns ends it.

func beginCPU(f *file) (func() error, error) {
	if err := rpprof.StartCPUProfile(f); err != nil {
		return nil, inUse(err)
	}
	return func() error { rpprof.StopCPUProfile(); return nil }, nil
}

func beginTrace(f *file) (func() error, error) {
	if err := trace.Start(f); err != nil {
		return nil, inUse(err)
	}
	return func() error { trace.Stop(); return nil }, nil
}

func beginFgprof(f *file) func() error { return fgprof.Start(f, fgprof.FormatPprof) }

// beginDelta captures a profile that the runtime only ever adds to: what it held at the start is
// subtracted at the end, so that a service's first hour does not hide its last minute.
func beginDelta(f *file, name string, restore func()) (func() error, error) {
	before, err := snapshot(name)
	if err != nil {
		restore()
		return nil, err
	}
	return func() error {
		after, err := snapshot(name)
		restore()
		if err != nil {
			return err
		}
		before.Scale(-1)
		p, err := profile.Merge([]*profile.Profile{before, after})
		if err != nil {
			return fmt.Errorf("accounting/pprof: subtracting two %s profiles: %w", name, err)
		}
		p.TimeNanos, p.DurationNanos = after.TimeNanos, after.TimeNanos-before.TimeNanos
		return p.Write(f)
	}, nil
}

func snapshot(name string) (*profile.Profile, error) {
	var b bytes.Buffer
	if err := rpprof.Lookup(name).WriteTo(&b, 0); err != nil {
		return nil, err
	}
	return profile.Parse(&b)
}

// inUse turns the runtime's untyped "already in use" errors into ErrInUse.
func inUse(err error) error {
	if s := err.Error(); strings.Contains(s, "already") {
		return errors.Join(ErrInUse, err)
	}
	return err
}
