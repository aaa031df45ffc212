package rig

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// want is the end of a sentence that begins with what was got.
func want(format string, args ...any) error {
	return errors.New("want " + fmt.Sprintf(format, args...))
}

func text(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if v == "" {
			return want("a value")
		}
		*field(s) = v
		return nil
	}
}

func oneOf(field func(*Settings) *string, allowed ...string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if !slices.Contains(allowed, v) {
			return want("one of %s", strings.Join(allowed, ", "))
		}
		*field(s) = v
		return nil
	}
}

func integer(field func(*Settings) *int) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return want("a whole number from 1")
		}
		*field(s) = n
		return nil
	}
}

// duration sets a duration that is a multiple of unit.
func duration(field func(*Settings) *time.Duration, unit time.Duration) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 || d%unit != 0 {
			return want("a duration like 10s or 5m, above 0%s", map[bool]string{true: ", in whole seconds"}[unit == time.Second])
		}
		*field(s) = d
		return nil
	}
}

func (s *Settings) setRate(v string) error {
	if s.Max = v == "max"; s.Max {
		return nil
	}
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || r < 1 || r > 1e10 {
		return want("1 to 1e10 rows a second, or max")
	}
	s.Spec.Rate = r
	return nil
}

func (s *Settings) setFsync(v string) error {
	name, each, interval := strings.Cut(v, "=")
	switch {
	case !interval && (name == "on-seal" || name == "never"):
		s.Fsync = name
		return nil
	case interval && name == "interval":
		d, err := time.ParseDuration(each)
		if err == nil && d > 0 {
			s.Fsync, s.FsyncEach = name, d
			return nil
		}
	}
	return want("on-seal, interval=D (a duration above 0) or never")
}

// parseSpan reads A-B, two durations; a bare 0 needs no unit, and A may take B's unit: 0-5ms, 2-8ms, 2ms-8ms.
func parseSpan(v string) (Span, error) {
	wrong := want("A-B with durations A ≤ B, like 0-5ms")
	least, most, ok := strings.Cut(v, "-")
	if !ok {
		return Span{}, wrong
	}
	b, err := time.ParseDuration(most)
	if err != nil {
		return Span{}, wrong
	}
	a, err := time.ParseDuration(least)
	if err != nil {
		a, err = time.ParseDuration(least + strings.TrimLeft(most, "0123456789."))
	}
	if err != nil || a < 0 || a > b || b > time.Minute {
		return Span{}, wrong
	}
	return Span{a, b}, nil
}

func (s *Settings) setSink(v string) error {
	u, err := url.Parse(v)
	remote := err == nil && slices.Contains([]string{"http", "https", "unix", "nats"}, u.Scheme) && u.Host+u.Path != ""
	if v != "memory" && v != "ledger" && !remote {
		return want("memory, ledger, http://HOST:PORT, https://HOST:PORT, unix:///PATH or nats://HOST:PORT")
	}
	s.Sink = v
	return nil
}

func (s *Settings) setMetrics(v string) error {
	_, port, err := net.SplitHostPort(v)
	if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
		return want("HOST:PORT with a port of 0 to 65535, like 127.0.0.1:9100")
	}
	s.Metrics = v
	return nil
}
