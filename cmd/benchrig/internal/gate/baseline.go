package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// BaselineSchema is the version of Baseline's JSON.
const BaselineSchema = 1

// Baseline is a recorded measurement: testing/performance/baselines/{host}-{cpu}/{commit}.json.
type Baseline struct {
	Schema    int           `json:"schema"`
	Commit    string        `json:"commit"`
	Date      time.Time     `json:"date"`
	Host      Host          `json:"host"`
	BenchTime string        `json:"benchtime"`
	Rows      []BaselineRow `json:"rows"`
}

// BaselineRow is a row with all its samples.
type BaselineRow struct {
	Row
	Values []float64 `json:"values"`
}

var commitName = regexp.MustCompile(`^[0-9a-f]{7,64}(-dirty)?$`)

// ReadBaseline reads and checks a baseline.
func ReadBaseline(path string) (*Baseline, error) {
	var b Baseline
	if err := readJSON(path, &b, ErrBaseline); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w; record one with: benchrig gate --write-baseline", err)
		}
		return nil, fmt.Errorf("%w; record it anew with: benchrig gate --write-baseline", err)
	}
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w; record it anew with: benchrig gate --write-baseline", path, err)
	}
	return &b, nil
}

// validate reports every fault.
func (b *Baseline) validate() error {
	if b.Schema != BaselineSchema {
		return fmt.Errorf("%w: schema %d, this gate reads %d", ErrBaseline, b.Schema, BaselineSchema)
	}
	var faults []error
	bad := func(format string, a ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrBaseline}, a...)...))
	}
	if !commitName.MatchString(b.Commit) {
		bad("commit %.80q is no commit", b.Commit)
	}
	if b.Host.CPU == "" || b.Host.Arch == "" || b.Host.Cores < 1 {
		bad("host lacks cpu, arch or cores")
	}
	if len(b.Rows) == 0 {
		bad("no rows")
	}
	seen := map[Row]bool{}
	for _, r := range b.Rows {
		if r.Name == "" || r.Metric == "" {
			bad("a row without name or metric: %q", r.Row)
		}
		if seen[r.Row] {
			bad("row %s is there twice", r.Row)
		}
		seen[r.Row] = true
		if len(r.Values) < MinCount {
			bad("row %s has %d values, want at least %d", r.Row, len(r.Values), MinCount)
		}
		for _, v := range r.Values {
			if v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
				bad("row %s has the value %v", r.Row, v)
			}
		}
	}
	return errors.Join(faults...)
}

// fits says whether values measured on h can be compared with b's.
func (b *Baseline) fits(h Host) error {
	if b.Host.CPU != h.CPU || b.Host.Arch != h.Arch || b.Host.Cores != h.Cores {
		return fmt.Errorf("%w: it was measured on %s (%s, %d cores), this is %s (%s, %d cores); compare on this machine with: benchrig gate --against %s",
			ErrBaseline, b.Host.CPU, b.Host.Arch, b.Host.Cores, h.CPU, h.Arch, h.Cores, b.Commit)
	}
	return nil
}

func (b *Baseline) samples() samples {
	s := samples{}
	for _, r := range b.Rows {
		s[r.Row] = r.Values
	}
	return s
}

var unfit = regexp.MustCompile(`[^a-z0-9.]+`)

// slug makes a name fit for a directory.
func slug(s string) string {
	s = strings.Trim(unfit.ReplaceAllString(strings.ToLower(s), "-"), "-.")
	if s == "" {
		return "unknown"
	}
	return s
}

// HostDir is {host}-{cpu}, the directory of a machine's baselines and captures.
func HostDir(h Host) string { return slug(h.Name) + "-" + slug(h.CPU) }

// PathBelow is where a baseline belongs below the directory of baselines.
func (b *Baseline) PathBelow(dir string) string {
	return filepath.Join(dir, HostDir(b.Host), b.Commit+".json")
}

// Write writes the baseline at path, making its directory, in one rename.
func (b *Baseline) Write(path string) error {
	if err := b.validate(); err != nil {
		return err
	}
	j, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(j, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func sortRows(rows []BaselineRow) {
	slices.SortFunc(rows, func(a, b BaselineRow) int { return strings.Compare(a.Row.String(), b.Row.String()) })
}
