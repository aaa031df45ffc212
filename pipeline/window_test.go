package pipeline

import (
	"testing"
	"time"
)

// fakeClock is a wall clock and a monotonic one that tests move apart.
type fakeClock struct {
	wall time.Time
	mono time.Duration
}

func (c *fakeClock) Now() time.Time            { return c.wall }
func (c *fakeClock) Monotonic() time.Duration  { return c.mono }
func (c *fakeClock) advance(d time.Duration)   { c.wall, c.mono = c.wall.Add(d), c.mono+d }
func (c *fakeClock) jump(d time.Duration)      { c.wall = c.wall.Add(d) }
func (c *fakeClock) tick(r *rollover) tick     { return r.tick(c.wall, c.mono) }
func at(sec int64) time.Time                   { return time.Unix(sec, 0) }
func (r *rollover) enter(now time.Time) window { r.cur = r.at(now); return r.cur }

func TestRolloverOncePerBoundary(t *testing.T) {
	c := &fakeClock{wall: at(600)}
	r := newRollover(c, 300)
	rolls := 0
	for i := range 4000 {
		c.advance(500 * time.Millisecond)
		switch i % 7 { // within 2 s of the truth, both ways
		case 3:
			c.jump(1900 * time.Millisecond)
		case 4:
			c.jump(-1900 * time.Millisecond)
		}
		switch c.tick(r) {
		case tickRoll:
			rolls++
			r.enter(c.wall)
		case tickHeld:
			t.Fatalf("held at %v", c.wall)
		}
	}
	if rolls != 6 { // 2000 s from a boundary: six more
		t.Errorf("%d rollovers in 2000 s of 300 s windows, want 6", rolls)
	}
}

func TestClockJumpHoldsUntilTwoTicksAgree(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		c := &fakeClock{wall: at(36000)}
		r := newRollover(c, 300)
		c.advance(time.Second)
		c.jump(jump)
		if got := c.tick(r); got != tickHeld {
			t.Errorf("jump %v: first tick %v, want held", jump, got)
		}
		c.jump(-jump / 2) // it does not agree with the one before
		c.advance(time.Second)
		if got := c.tick(r); got != tickHeld {
			t.Errorf("jump %v: second tick %v, want held", jump, got)
		}
		c.advance(time.Second)
		want := tickRoll
		if jump < 0 {
			want = tickAgain
		}
		if got := c.tick(r); got != want {
			t.Errorf("jump %v: third tick %v, want %v", jump, got, want)
		}
		if w := r.enter(c.wall); w.start < 36000 {
			t.Errorf("jump %v: the window went back to %d", jump, w.start)
		}
	}
}

func TestPeriodOf(t *testing.T) {
	feb := uint64(time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC).Unix())
	for _, p := range []Period{Day, Hour, Month} {
		if p.of(feb) == p.of(feb+1) {
			t.Errorf("%v: the end of February 2024 is no boundary", p)
		}
		if p.of(feb-3) != p.of(feb) {
			t.Errorf("%v: a boundary within three seconds", p)
		}
	}
	if Month.of(feb-86400) != Month.of(feb) {
		t.Error("month: a boundary between two days of February")
	}
}
