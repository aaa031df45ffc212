package pipeline

import "time"

// Period is a boundary that no slice crosses, in UTC.
type Period uint8

const (
	Day Period = iota
	Hour
	Month
)

func (p Period) String() string {
	switch p {
	case Day:
		return "day"
	case Hour:
		return "hour"
	case Month:
		return "month"
	}
	return "unknown"
}

// of numbers the period that second s of the Unix epoch lies in.
func (p Period) of(s uint64) uint64 {
	switch p {
	case Hour:
		return s / 3600
	case Month:
		t := time.Unix(int64(s), 0).UTC()
		return uint64(t.Year())*12 + uint64(t.Month()) - 1
	}
	return s / 86400
}

// window is a span of Unix seconds, [start, end).
type window struct{ start, end uint64 }

// windowAt returns the aligned window of w seconds that t lies in; times before 1970 count as 1970.
func windowAt(t time.Time, w uint64) window {
	s := uint64(max(t.Unix(), 0))
	s -= s % w
	return window{s, s + w}
}

// rollover follows the wall clock and says when a window ends. Owned by the ticker goroutine.
//
// The current window only moves forward, so a clock set back by less than a window repeats no boundary. A wall jump of more
// than a window against the monotonic clock is not believed (a sealed window can't be taken back): the rollover holds until
// two ticks agree with each other, then goes on from there.
type rollover struct {
	seconds  uint64
	cur      window
	lastWall time.Time
	lastMono time.Duration
	held     bool
}

type tick uint8

const (
	tickSame  tick = iota // still in the current window
	tickRoll              // the wall clock has left the current window: seal it
	tickHeld              // the clock jumped: seal nothing
	tickAgain             // the wall clock is behind the current window: a boundary that was sealed already
)

func newRollover(c Clock, seconds uint64) *rollover {
	now := c.Now()
	return &rollover{seconds: seconds, cur: windowAt(now, seconds), lastWall: now, lastMono: c.Monotonic()}
}

// tick reads the clock. After tickRoll the caller seals r.cur up to r.at(now) and calls advance.
func (r *rollover) tick(now time.Time, mono time.Duration) tick {
	drift := now.Round(0).Sub(r.lastWall.Round(0)) - (mono - r.lastMono)
	r.lastWall, r.lastMono = now, mono
	limit := time.Duration(r.seconds) * time.Second
	if drift > limit || drift < -limit {
		r.held = true
		return tickHeld
	}
	r.held = false
	w := windowAt(now, r.seconds)
	switch {
	case w.start > r.cur.start:
		return tickRoll
	case w.start < r.cur.start:
		return tickAgain
	}
	return tickSame
}

// at returns the window that now lies in, never before the current one.
func (r *rollover) at(now time.Time) window {
	if w := windowAt(now, r.seconds); w.start > r.cur.start {
		return w
	}
	return r.cur
}

// untilNext returns how long to sleep, at most most: to adoptLead before the next boundary, from then on to the boundary.
func (r *rollover) untilNext(now time.Time, most time.Duration) time.Duration {
	d := time.Unix(int64(r.cur.end), 0).Sub(now.Round(0))
	if d > adoptLead {
		d -= adoptLead
	}
	return min(max(d, time.Millisecond), most)
}
