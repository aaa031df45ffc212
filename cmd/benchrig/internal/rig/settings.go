package rig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/load"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/redact"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
)

// Settings are a run's. Make them with Defaults and Set; Finish completes and checks them.
type Settings struct {
	Spec      workload.Spec
	Max       bool          // --rate max
	Duration  time.Duration // 0: the workload's
	Profile   string        // "", micronode or macronode
	WAL       bool
	CapMB     int // of the WAL
	Fsync     string
	FsyncEach time.Duration // with fsync interval
	Jitter    Span          // added to each fsync
	Sink      string
	Chaos     chaos.Spec
	Producers int
	Dir       string // where the ledger and the WAL are kept; "": a temporary directory, removed at the end
	Short     bool
	Cold      bool   // keys are made while they are recorded, not beforehand
	Metrics   string // address of a Prometheus endpoint while it runs
	Drain     time.Duration
	Pending   int // Options.PendingSlices, LaneCapacity, ExportWorkers; 0: fit for the workload, and the recorder's defaults
	Lane      int
	Workers   int
	Idle      int // Options.IdleWindows; 0: as many windows as an hour has, which is what the recorder's defaults (12 of 300 s) come to

	set  map[string]string             // what was asked for explicitly, for the result
	bend func(load.Target) load.Target // tests: a recorder that loses or doubles
}

// What a run keeps in its directory.
const ledgerFile, walDir = "ledger.db", "wal"

// Span is a range of durations.
type Span struct{ Least, Most time.Duration }

// Defaults returns the settings of a workload before any flag.
func Defaults(name string) (*Settings, error) {
	spec, err := workload.ByName(name)
	if err != nil {
		return nil, err
	}
	s := &Settings{Spec: spec, CapMB: 512, Fsync: "on-seal", Sink: "ledger", Producers: runtime.GOMAXPROCS(0), Drain: time.Minute, set: map[string]string{}}
	s.Cold = spec.Every > 0 // a burst's first visit to its keys is what it is about
	if spec.WAL {
		s.WAL, s.Jitter = true, Span{0, 5 * time.Millisecond}
	}
	return s, nil
}

// Finish fills in what depends on several settings and reports every fault at once.
func (s *Settings) Finish() error {
	if s.Short {
		short := s.Spec.Short()
		if _, ok := s.set["window"]; !ok {
			s.Spec.Window = short.Window
		}
		s.Spec.Every, s.Spec.Run = short.Every, short.Run
	}
	if s.Duration == 0 {
		s.Duration = s.Spec.Run
	}
	if s.Idle == 0 && s.Spec.Window > 0 {
		s.Idle = max(1, int(time.Hour/s.Spec.Window))
	}
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	switch {
	case s.Profile == "macronode":
		s.WAL = true
	case s.Profile == "micronode":
		_, asked := s.set["wal"]
		bad(!s.WAL || !asked && !s.Spec.WAL, "profile: got micronode with a WAL, want macronode: a micronode keeps nothing across a restart")
	case s.WAL:
		s.Profile = "macronode"
	default:
		s.Profile = "micronode"
	}
	bad(s.Duration >= 100*time.Millisecond && s.Duration <= 30*24*time.Hour, "duration: got %v, want 100ms to 720h", s.Duration)
	w := s.Spec.Window
	bad(w >= time.Second && w <= time.Hour && 24*time.Hour%w == 0, "window: got %v, want 1s to 1h, a divisor of a day", w)
	bad(s.Producers >= 1 && s.Producers <= 1024, "producers: got %d, want 1 to 1024", s.Producers)
	bad(s.CapMB >= 1 && s.CapMB <= 1<<20, "cap-mb: got %d, want 1 to 1048576", s.CapMB)
	for _, name := range []string{"cap-mb", "fsync", "fsync-jitter"} {
		_, asked := s.set[name]
		bad(!asked || s.WAL, "%s: needs a WAL (--wal, or --profile macronode)", name)
	}
	bad(s.WAL || s.Chaos.Fsync.Max == 0, "chaos: fsync needs a WAL (--wal, or --profile macronode)")
	if err := s.Spec.Validate(); err != nil {
		faults = append(faults, err)
	}
	if err := s.checkDir(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// checkDir refuses a directory that an earlier run has left its ledger or WAL in: the proof is of the whole ledger, so what
// that run counted would be called doubled.
func (s *Settings) checkDir() error {
	if s.Dir == "" {
		return nil
	}
	for name, used := range map[string]bool{ledgerFile: s.Sink == "ledger", walDir: s.WAL} {
		if _, err := os.Stat(filepath.Join(s.Dir, name)); used && err == nil {
			return fmt.Errorf("dir: got %q, which holds the %s of an earlier run: want one without", s.Dir, name)
		}
	}
	return nil
}

// Asked returns the settings that were given explicitly, and the ones that matter to a reader, for the result.
func (s *Settings) Asked() map[string]any {
	out := map[string]any{
		"tenants": s.Spec.Tenants, "dims": s.Spec.Dims, "keys": s.Spec.Keys, "sink": redact.Addresses(s.Sink), "window": s.Spec.Window.String(),
		"producers": s.Producers, "duration": s.Duration.String(), "wal": s.WAL, "short": s.Short, "cold": s.Cold, "idle_windows": s.Idle,
	}
	if s.WAL {
		out["cap_mb"], out["fsync"], out["fsync_jitter"] = s.CapMB, s.Fsync, fmt.Sprintf("%v-%v", s.Jitter.Least, s.Jitter.Most)
	}
	for k, v := range s.set {
		if _, ok := out[underscored(k)]; !ok {
			out[underscored(k)] = v
		}
	}
	return out
}
