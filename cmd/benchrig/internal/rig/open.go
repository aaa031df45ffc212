package rig

// What a run consists of: its directory, its sink, its recorder and what watches them.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// open makes the directory, the sink and the recorder. cleanup closes what is still open.
func (s *session) open(ctx context.Context) (cleanup func() error, err error) {
	var undo []func() error
	undoAll := func() (err error) {
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undoAll())
		}
	}()
	if s.dir = s.set.Dir; s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "benchrig-"); err != nil {
			return nil, err
		}
		undo = append(undo, func() error { return os.RemoveAll(s.dir) })
	} else if err = os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	if s.sink, err = openSink(ctx, s.set, s.dir); err != nil {
		return nil, err
	}
	undo = append(undo, s.sink.close)

	events := accounting.NewEvents(eventCapacity(s.set.Spec.Streams()))
	opt := s.options(events)
	if s.rec, err = accounting.Open(opt); err != nil {
		return nil, err
	}
	undo = append(undo, func() error {
		if s.rec == nil {
			return nil
		}
		return s.rec.Close(context.Background())
	})
	s.registry = prometheus.NewRegistry()
	if err = s.registry.Register(s.rec.Collector()); err != nil {
		return nil, err
	}
	if s.set.Metrics != "" {
		at, stop, err := serveMetrics(s.set.Metrics, s.registry)
		if err != nil {
			return nil, err
		}
		undo = append(undo, stop)
		s.hooks.Say("metrics on http://" + at.String() + "/metrics")
	}
	s.exports = watchExports(events, s.stage(stage.Export))
	s.ready = watchReadiness(s.rec.Readiness)
	return undoAll, nil
}

// options are the recorder's: a quarter of capacity more than the workload has keys, and a stream for each of its streams.
func (s *session) options(events *accounting.Events) accounting.Options {
	set := s.set
	o := accounting.Options{
		Window: set.Spec.Window, AllowShortWindow: true,
		CapacityRows:  max(64, set.Spec.Total()+set.Spec.Total()/4),
		MaxStreams:    max(64, set.Spec.Streams()),
		PendingSlices: set.Pending, LaneCapacity: set.Lane, ExportWorkers: set.Workers, IdleWindows: set.Idle,
		Sinks:  []accounting.Sink{{Name: "ledger", Exporter: s.sink.exporter, Required: true}},
		Logger: s.hooks.Logger,
		Events: events,
	}
	if o.PendingSlices == 0 {
		o.PendingSlices = max(8192, 2*set.Spec.Streams())
	}
	o.Dimensions = set.Spec.Extra()
	if !set.WAL {
		return o
	}
	under := vfs.OS
	if j := set.syncDelay(); j.Most > 0 {
		under = vfs.Slow(under, j.Least, j.Most, set.Spec.Seed)
	}
	s.fs = newTimedFS(under, s.stage(stage.WAL))
	o.Profile = accounting.Macronode
	o.WAL = &wal.Options{
		Dir: filepath.Join(s.dir, walDir), MaxBytes: int64(set.CapMB) << 20, FS: s.fs,
		Fsync:         map[string]wal.Policy{"on-seal": wal.OnSeal, "interval": wal.Interval, "never": wal.Never}[set.Fsync],
		FsyncInterval: set.FsyncEach,
	}
	return o
}
