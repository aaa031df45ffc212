package pipeline

import "time"

// Clock is the time that windows are cut by. Now is the wall clock, which may jump; Monotonic never runs back and has an
// arbitrary zero. Both may be called from several goroutines. Timers are the runtime's: a tick only asks the clock what time it is.
type Clock interface {
	Now() time.Time
	Monotonic() time.Duration
}

// systemClock is the default: the operating system's clocks.
type systemClock struct{ start time.Time }

func newSystemClock() Clock { return systemClock{time.Now()} }

func (systemClock) Now() time.Time             { return time.Now() }
func (c systemClock) Monotonic() time.Duration { return time.Since(c.start) }
