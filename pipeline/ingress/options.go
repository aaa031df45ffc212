package ingress

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Options of a queue; zero fields have the default.
type Options struct {
	Dir  string      // "": in memory, nothing survives the process
	Sink export.Sink // where slices go; a Tipper is asked where unknown streams stand

	MaxBytes     int64         // of staged slices; 512 MiB
	MaxSlices    int           // staged; 200,000
	MaxResident  int64         // bytes of them kept in memory; 64 MiB. Without Dir all are
	TenantShare  float64       // of MaxBytes and MaxSlices that one tenant may hold; 0.5
	LaneCapacity int           // staged slices of one stream; 1,024
	MaxStreams   int           // 131,072
	Horizon      int           // acked slices whose digests are kept; 65,536
	MaxKeys      int           // idempotency keys; 200,000
	KeyAge       time.Duration // how long a key is remembered; 25 h

	// Recount counts what is left of a batch that was being counted when the process was killed. Needed where Queue.Count is used.
	Recount Recount

	Workers int         // calls to the sink in flight; GOMAXPROCS
	Tuning  lane.Tuning // backoff, fairness, deadlines; Queue.Tune changes it

	Metrics *pipeline.Metrics // nil: of its own
	Logger  *slog.Logger      // nil: silent

	seam func(store) store // tests put faults here
	fs   vfs.FS            // and here; nil: the system's
}

// Recount counts a batch's rows (the bytes given to Queue.Count) from one on, and says before each how many were begun with it.
type Recount func(rows []byte, from int, begun func(int)) error

func (o *Options) setDefaults() {
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	or(&o.MaxSlices, 200_000)
	or(&o.LaneCapacity, 1024)
	or(&o.MaxStreams, 131_072)
	or(&o.Horizon, 65_536)
	or(&o.MaxKeys, 200_000)
	or(&o.Workers, runtime.GOMAXPROCS(0))
	if o.MaxBytes == 0 {
		o.MaxBytes = 512 << 20
	}
	if o.MaxResident == 0 {
		o.MaxResident = 64 << 20
	}
	if o.TenantShare == 0 {
		o.TenantShare = 0.5
	}
	if o.KeyAge == 0 {
		o.KeyAge = 25 * time.Hour
	}
	if o.Metrics == nil {
		o.Metrics = pipeline.NewMetrics(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// validate reports every fault at once; o has its defaults. The lanes' own settings are checked by lane.New.
func (o *Options) validate() error {
	var faults []error
	check := func(ok bool, field string, got any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("accounting/ingress: Options.%s: got %v, want %s", field, got, want))
		}
	}
	check(o.MaxBytes >= 1<<20, "MaxBytes", o.MaxBytes, "at least 1 MiB, room for one slice")
	check(o.MaxResident >= 0, "MaxResident", o.MaxResident, "0 or more")
	check(o.TenantShare > 0 && o.TenantShare <= 1, "TenantShare", o.TenantShare, "above 0, at most 1")
	check(o.KeyAge >= 24*time.Hour, "KeyAge", o.KeyAge, "at least 24h")
	for _, f := range []struct {
		name string
		v    int
	}{{"MaxSlices", o.MaxSlices}, {"LaneCapacity", o.LaneCapacity}, {"MaxStreams", o.MaxStreams}, {"Horizon", o.Horizon}, {"MaxKeys", o.MaxKeys}} {
		check(f.v >= 1 && f.v <= 1<<24, f.name, f.v, "1 to 16777216")
	}
	return errors.Join(faults...)
}
