package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Names lists the workloads in order.
var Names = []string{"w1", "w2", "w3", "w4"}

// Spec describes a workload. The zero value is none; start from ByName.
type Spec struct {
	Name    string        // w1 … w4
	Title   string        // what it stands for, in a few words
	Tenants int           // 1..1_000_000
	Dims    []string      // names of dimensions, built-in or not, in any order
	Keys    int           // keys of a stream
	Zipf    float64       // 0: keys uniformly; else Zipf's exponent over the keys of a stream, > 0
	Rate    float64       // offered rows/s; of a bursty workload, within the burst
	Every   time.Duration // 0: steady; else a burst starts every Every …
	Burst   time.Duration // … lasts this long, and visits each key once in turn
	Window  time.Duration // the recorder's window
	Run     time.Duration // how long it runs unless told otherwise
	WAL     bool          // needs the write-ahead log
	Seed    uint64
}

var builtin = []string{"bytes", "requests", "cpu"}

// Extra are the dimensions beyond the built-in ones: what a recorder's Options must add.
func (s Spec) Extra() (names []string) {
	for _, d := range s.Dims {
		if !slices.Contains(builtin, d) {
			names = append(names, d)
		}
	}
	return names
}

// Names are all names of dimensions, by number.
func (s Spec) Names() []string { return slices.Concat(builtin, s.Extra()) }

// ByName returns a workload of the specification, with its defaults; the name's case does not matter.
func ByName(name string) (Spec, error) {
	s := Spec{Name: strings.ToLower(name), Dims: builtin, Window: time.Second, Run: 10 * time.Second, Seed: 1}
	switch s.Name {
	case "w1":
		s.Title, s.Tenants, s.Dims, s.Keys, s.Zipf, s.Rate = "hot key", 1, builtin[:1], 1000, 1.2, 50_000
	case "w2":
		s.Title, s.Tenants, s.Keys, s.Rate = "wide tenancy", 1000, 100, 100_000
	case "w3":
		s.Title, s.Tenants, s.Dims, s.Keys, s.Rate = "edge bursts", 50, builtin[:2], 2000, 200_000
		s.Every, s.Burst, s.Window, s.Run = 10*time.Second, time.Second, time.Minute, 70*time.Second
	case "w4":
		s.Title, s.Tenants, s.Keys, s.Rate, s.WAL = "WAL stress", 1000, 100, 100_000, true
	default:
		return Spec{}, fmt.Errorf("workload: got %q, want one of %s", name, strings.Join(Names, ", "))
	}
	return s, nil
}

// Short scales the workload down so that it shows the same in seconds: for CI and for a first look.
func (s Spec) Short() Spec {
	s.Run = min(s.Run, 4*time.Second)
	if s.Every > 0 {
		s.Every, s.Window, s.Run = 3*time.Second, 5*time.Second, 9*time.Second
	}
	return s
}

// Streams is the number of (tenant, dimension) pairs.
func (s Spec) Streams() int { return s.Tenants * len(s.Dims) }

// Total is the number of keys.
func (s Spec) Total() int { return s.Streams() * s.Keys }

// Validate reports every fault of the specification.
func (s Spec) Validate() error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("workload: "+format, args...))
		}
	}
	bad(s.Tenants >= 1 && s.Tenants <= 1_000_000, "tenants: got %d, want 1 to 1000000", s.Tenants)
	bad(len(s.Dims) >= 1 && len(s.Names()) <= 256, "dims: got %d dimensions, want 1 to 253 beside bytes, requests and cpu", len(s.Dims))
	for i, d := range s.Dims {
		bad(canon.ValidName(d), "dims: got %q, want a name of [a-z][a-z0-9_]{0,62}", d)
		for _, e := range s.Dims[:i] {
			bad(d != e, "dims: %q is named twice", d)
		}
	}
	bad(s.Keys >= 1 && s.Keys <= 10_000_000, "keys: got %d a stream, want 1 to 10000000", s.Keys)
	bad(s.Zipf >= 0 && s.Zipf <= 10, "zipf: got %g, want 0 (uniform) to 10", s.Zipf)
	bad(s.Rate >= 1 && s.Rate <= 1e10, "rate: got %g rows/s, want 1 to 1e10, or max", s.Rate)
	bad(s.Every == 0 || s.Burst > 0 && s.Burst <= s.Every, "burst: got %v every %v, want 0 < burst ≤ every", s.Burst, s.Every)
	if total := float64(s.Tenants) * float64(len(s.Dims)) * float64(s.Keys); total > 50e6 {
		faults = append(faults, fmt.Errorf("workload: %.0f keys in all, want at most 50000000", total))
	}
	return errors.Join(faults...)
}

// Due is when row number n of the whole load is due, counted from the start.
func (s Spec) Due(n uint64) time.Duration {
	if s.Every == 0 {
		return time.Duration(float64(n) / s.Rate * 1e9)
	}
	per := s.BurstRows()
	return time.Duration(n/per)*s.Every + time.Duration(float64(n%per)/s.Rate*1e9)
}

// Rows is how many rows are due before d.
func (s Spec) Rows(d time.Duration) uint64 {
	if s.Every == 0 {
		return uint64(s.Rate * d.Seconds())
	}
	rest := min(d%s.Every, s.Burst)
	return uint64(d/s.Every)*s.BurstRows() + uint64(s.Rate*rest.Seconds())
}

// BurstRows is the number of rows of one burst.
func (s Spec) BurstRows() uint64 { return max(1, uint64(s.Rate*s.Burst.Seconds())) }
