package chaos

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shares is a range of probabilities; the one in force is drawn anew from it every 64 calls.
type Shares struct{ Min, Max float64 }

// Durations is a range that each use draws from uniformly.
type Durations struct{ Min, Max time.Duration }

// Spec says what goes wrong. The zero value: nothing.
//
// In text it is a list of items with commas between:
//
//	5xx=0.1-0.3           share of calls that the ledger answers with 500, 502 or 503, unprocessed
//	tail=0.1:200ms-800ms  share of calls that are late, and by how much
//	lost=0.05             share of calls that are processed, but whose answer is lost
//	disconnect=0.05       share of calls that break: nothing or a first part is processed, no answer
//	hang=0.01             share of calls that are not answered until the caller gives up; every other one is processed
//	dup=0.05              share of calls that reach the ledger twice
//	reorder=0.05          share of calls before which a later part of the same call, or an older slice, reaches the ledger
//	outage=5s@10s         for 5 s, from 10 s after the start, nobody is there; outage=5s@10s/30s: and every 30 s from then on
//	fsync=2ms-8ms         extra time of each fsync: for the WAL's file system, not done here
//	oversize, ratio       send too large and too compressed requests to an adapter; the rig does that, not this package
//
// A share may be one number or a range; so may a duration.
type Spec struct {
	Remote5xx, Tail                      Shares
	TailLatency                          Durations
	Lost, Disconnect, Hang, Dup, Reorder Shares
	OutageFor, OutageAt, OutageEvery     time.Duration // Every 0: once

	Fsync           Durations
	Oversize, Ratio bool
}

// shares is the one table of the share items: Parse, String and Exports follow it.
func (s *Spec) shares() []struct {
	name string
	to   *Shares
} {
	return []struct {
		name string
		to   *Shares
	}{
		{"5xx", &s.Remote5xx}, {"tail", &s.Tail}, {"lost", &s.Lost}, {"disconnect", &s.Disconnect}, {"hang", &s.Hang}, {"dup", &s.Dup}, {"reorder", &s.Reorder},
	}
}

// ErrSpec: the text is not a chaos specification. Every fault of it is reported.
var ErrSpec = errors.New("accounting/chaos: specification")

const known = "5xx=, tail=, lost=, disconnect=, hang=, dup=, reorder=, outage=, fsync=, oversize, ratio"

// Parse reads the text form; "" is the zero value.
func Parse(text string) (Spec, error) {
	var s Spec
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	var errs []error
	seen := map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		name, value, has := strings.Cut(item, "=")
		if seen[name] {
			errs = append(errs, fmt.Errorf("%w: got %q twice", ErrSpec, name))
			continue
		}
		seen[name] = true
		if err := s.set(name, value, has); err != nil {
			errs = append(errs, fmt.Errorf("%w: item %.60q: %w", ErrSpec, item, err))
		}
	}
	if len(errs) > 0 {
		return Spec{}, errors.Join(errs...)
	}
	return s, nil
}

func (s *Spec) set(name, value string, has bool) (err error) {
	switch name {
	case "oversize", "ratio":
		if has {
			return fmt.Errorf("got a value, want %s alone", name)
		}
		if name == "ratio" {
			s.Ratio = true
		} else {
			s.Oversize = true
		}
		return nil
	case "fsync":
		s.Fsync, err = parseDurations(value)
		return err
	case "outage":
		return s.setOutage(value)
	case "tail":
		share, late, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("want share:latency, as in 0.1:200ms-800ms")
		}
		if s.TailLatency, err = parseDurations(late); err != nil {
			return err
		}
		value = share
	}
	for _, f := range s.shares() {
		if f.name == name {
			*f.to, err = parseShares(value)
			return err
		}
	}
	return fmt.Errorf("unknown, want one of %s", known)
}

func (s *Spec) setOutage(value string) (err error) {
	length, at, ok := strings.Cut(value, "@")
	if !ok {
		return errors.New("want length@start or length@start/period, as in 5s@10s")
	}
	at, every, repeats := strings.Cut(at, "/")
	if s.OutageFor, err = parseDuration(length); err != nil {
		return err
	}
	if s.OutageAt, err = parseDuration(at); err != nil {
		return err
	}
	if repeats {
		if s.OutageEvery, err = parseDuration(every); err != nil {
			return err
		}
		if s.OutageEvery <= s.OutageFor {
			return fmt.Errorf("got a period of %v, want more than the outage's %v", s.OutageEvery, s.OutageFor)
		}
	}
	if s.OutageFor == 0 {
		return errors.New("got an outage of 0s, want more")
	}
	return nil
}

func parseShares(text string) (r Shares, err error) {
	low, high, ranged := strings.Cut(text, "-")
	if r.Min, err = parseShare(low); err != nil {
		return Shares{}, err
	}
	if r.Max = r.Min; ranged {
		if r.Max, err = parseShare(high); err != nil {
			return Shares{}, err
		}
	}
	if r.Min > r.Max {
		return Shares{}, fmt.Errorf("got %v-%v, want the smaller first", r.Min, r.Max)
	}
	return r, nil
}

func parseShare(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("got share %.20q, want 0 to 1", text)
	}
	return v, nil
}

func parseDurations(text string) (r Durations, err error) {
	low, high, ranged := strings.Cut(text, "-")
	if r.Min, err = parseDuration(low); err != nil {
		return Durations{}, err
	}
	if r.Max = r.Min; ranged {
		if r.Max, err = parseDuration(high); err != nil {
			return Durations{}, err
		}
	}
	if r.Min > r.Max {
		return Durations{}, fmt.Errorf("got %v-%v, want the shorter first", r.Min, r.Max)
	}
	return r, nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("got duration %.20q, want 0s to 24h with a unit", text)
	}
	return d, nil
}

// String returns the text form: Parse of it gives s again.
func (s Spec) String() string {
	var b []string
	add := func(format string, args ...any) { b = append(b, fmt.Sprintf(format, args...)) }
	for _, f := range s.shares() {
		switch {
		case *f.to == Shares{}:
		case f.name == "tail":
			add("tail=%v:%v", *f.to, s.TailLatency)
		default:
			add("%s=%v", f.name, *f.to)
		}
	}
	if s.OutageFor > 0 {
		add("outage=%v@%v", s.OutageFor, s.OutageAt)
		if s.OutageEvery > 0 {
			b[len(b)-1] += "/" + s.OutageEvery.String()
		}
	}
	if s.Fsync != (Durations{}) {
		add("fsync=%v", s.Fsync)
	}
	if s.Oversize {
		add("oversize")
	}
	if s.Ratio {
		add("ratio")
	}
	return strings.Join(b, ",")
}

// String returns "0.1" or "0.1-0.3".
func (r Shares) String() string {
	if r.Min == r.Max {
		return strconv.FormatFloat(r.Min, 'f', -1, 64)
	}
	return strconv.FormatFloat(r.Min, 'f', -1, 64) + "-" + strconv.FormatFloat(r.Max, 'f', -1, 64)
}

// String returns "2ms" or "2ms-8ms".
func (r Durations) String() string {
	if r.Min == r.Max {
		return r.Min.String()
	}
	return r.Min.String() + "-" + r.Max.String()
}

// Exports reports whether any fault is one that this package injects.
func (s Spec) Exports() bool {
	for _, f := range s.shares() {
		if f.to.Max > 0 {
			return true
		}
	}
	return s.OutageFor > 0
}
