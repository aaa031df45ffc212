package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/config"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// service is a running serve: a recorder and an adapter in front of one sink.
type service struct {
	load   func() (*config.Config, []config.Value, error)
	every  time.Duration // between reloads
	log    *slog.Logger
	c      *config.Config
	values []config.Value

	rec      *accounting.Recorder
	maxSlice func() int // of the sink; nil: any slice
	queue    *ingress.Queue
	adapter  *adapter.Adapter
	certs    *adapter.Certificates // nil: none
	metrics  *pipeline.Metrics
	reloaded time.Time                     // when one was obeyed
	tune     func(accounting.Tuning) error // puts in force; an error has changed nothing
}

// run opens everything, serves until ctx ends, and closes everything in the order in which usage flows.
func (s *service) run(ctx context.Context, ready func(where string)) (err error) {
	s.logConfig()
	closing := func(what string, f func(context.Context) error) {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.Options.DrainDeadline)
		defer cancel()
		if cerr := f(end); keptForNext(cerr) {
			s.log.Info("what is not acked yet stays in the WAL for the next start", "left", cerr)
		} else if cerr != nil {
			err = errors.Join(err, fmt.Errorf("closing %s: %w", what, cerr))
		}
	}
	exporter, done, err := openExporter(ctx, s.c.Sink)
	if err != nil {
		return err
	}
	defer closing("the sink", func(context.Context) error { return done() })
	if limited, ok := exporter.(interface{ MaxSliceBytes() int }); ok {
		s.maxSlice = limited.MaxSliceBytes
	}
	sink := export.Sink{Name: "sink", Exporter: exporter, Required: true}

	o := s.c.Options
	o.Sinks, o.Logger = []export.Sink{sink}, s.log
	if s.rec, err = accounting.Open(o); err != nil {
		return err
	}
	defer closing("the recorder", s.rec.Close)
	s.metrics = s.rec.Collector().(*pipeline.Metrics)

	v := &s.c.Serve
	if s.queue, err = ingress.Open(ingress.Options{Dir: v.Dir, Sink: sink, MaxBytes: v.StageBytes, MaxSlices: v.StageSlices, MaxResident: v.StageResident,
		MaxStreams: v.StageStreams, TenantShare: v.TenantShare, MaxKeys: v.MaxKeys, LaneCapacity: o.LaneCapacity, Workers: o.ExportWorkers,
		Recount: adapter.Recount(adapter.Into(s.rec.Counter), s.dimensions()), Tuning: tuning(s.c).Lane(), Metrics: s.metrics, Logger: s.log}); err != nil {
		return err
	}
	defer closing("the ingress", s.queue.Close)
	s.metrics.Beside(func() bool { return len(s.queue.Missing()) > 0 })

	s.tune = func(t accounting.Tuning) error { // both judge the same values, so that the second can't refuse what the first took
		if err := s.rec.Tune(t); err != nil {
			return err
		}
		return s.queue.Tune(t.Lane())
	}
	srv, reg, err := s.listen()
	if err != nil {
		return err
	}
	reg.MustRegister(s.metrics, s.adapter.Collector())
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	serving, stop := context.WithCancel(ctx)
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for {
			select {
			case <-serving.Done():
				return
			case <-hup:
				s.reload()
			}
		}
	}()
	ready(where(srv, v))
	err = srv.Serve(ctx)
	stop()
	<-reloads
	return err
}

// keptForNext reports whether err says only that slices wait in the WAL for a sink that takes them again: an orderly end, too.
func keptForNext(err error) bool {
	switch e := err.(type) {
	case *accounting.DrainError:
		return e.Durable && (len(e.Unsealed) == 0 || e.Kept)
	case *lane.DrainError:
		return e.Halted == 0
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if !keptForNext(one) {
				return false
			}
		}
		return true
	}
	return false
}

// dimensions are the names by number.
func (s *service) dimensions() []string {
	return append([]string{"bytes", "requests", "cpu"}, s.c.Options.Dimensions...)
}

// listen makes the adapter and binds its sockets.
func (s *service) listen() (*adapter.Server, *prometheus.Registry, error) {
	v := &s.c.Serve
	var ring *token.Ring
	var err error
	if v.TokenKeys != "" {
		if ring, err = token.ReadRing(v.TokenKeys); err != nil {
			return nil, nil, err
		}
	}
	if v.TLSCert != "" {
		if s.certs, err = adapter.LoadCertificates(v.TLSCert, v.TLSKey, v.ClientCA); err != nil {
			return nil, nil, err
		}
	}
	s.adapter, err = adapter.New(adapter.Options{Queue: s.queue, Record: adapter.Into(s.rec.Counter), Dimensions: s.dimensions(), Readiness: s.rec.Readiness,
		Tokens: ring, Audience: v.Audience, AllowUIDs: v.AllowUIDs, Insecure: v.Insecure, MaxInflight: v.MaxInflight, MaxInflightBytes: v.MaxInflightBytes, MaxSlice: s.maxSlice,
		MaxRows: v.MaxRows, OpDeadline: v.Write / 5 * 4, Metrics: s.metrics, Logger: s.log})
	if err != nil {
		return nil, nil, err
	}
	reg := prometheus.NewRegistry()
	srv, err := adapter.Listen(s.adapter, prometheus.Gatherers{reg, newHostMetrics()}, adapter.ServerOptions{Addr: v.Addr, UDS: v.UDS, MetricsAddr: v.MetricsAddr, TLS: s.certs, MaxConns: v.MaxConns,
		Timeouts: adapter.Timeouts{Read: v.Read, Write: v.Write, Idle: v.Idle}})
	return srv, reg, err
}

// where says in one line where it listens.
func where(srv *adapter.Server, v *config.Serve) string {
	var all []string
	if srv.Addr() != nil {
		scheme := "http://"
		if v.TLSCert != "" {
			scheme = "https://"
		}
		all = append(all, scheme+srv.Addr().String())
	}
	if v.UDS != "" {
		all = append(all, socketAddress(v.UDS))
	}
	out := "adapter on " + strings.Join(all, " and ")
	if srv.MetricsAddr() != nil {
		out += ", metrics on http://" + srv.MetricsAddr().String() + "/metrics"
	}
	return out
}

func tuning(c *config.Config) accounting.Tuning {
	o := &c.Options
	return accounting.Tuning{Fairness: o.Fairness, Weights: o.Weights, Backoff: o.Backoff, OpDeadline: o.OpDeadline, DrainDeadline: o.DrainDeadline}
}

// reload reads the configuration, the root keys and the certificates again. Where any of them can't be taken nothing is changed but
// config_reload_fail_total.
func (s *service) reload() {
	changed, err := s.tryReload()
	if err != nil {
		s.metrics.ConfigFail.Inc()
		s.log.Error("reload refused", "err", err)
		return
	}
	s.log.Info("reloaded", "changed", changed)
}

func (s *service) tryReload() ([]string, error) {
	if since := time.Since(s.reloaded); !s.reloaded.IsZero() && since < s.every {
		return nil, fmt.Errorf("the last one was %v ago, want at least %v", since.Round(time.Second), s.every)
	}
	c, values, err := s.load()
	if err != nil {
		return nil, err
	}
	changed, err := config.Changed(s.values, values)
	if err != nil {
		return nil, err
	}
	var ring *token.Ring
	if path := s.c.Serve.TokenKeys; path != "" {
		if ring, err = token.ReadRing(path); err != nil {
			return nil, err
		}
	}
	useCerts := func() {}
	if s.certs != nil {
		if useCerts, err = s.certs.Read(); err != nil {
			return nil, err
		}
	}
	// All that is read from files is good: only now is anything put in force.
	if err := s.tune(tuning(c)); err != nil {
		return nil, err
	}
	useCerts()
	if ring != nil {
		s.adapter.SetTokens(ring)
	}
	s.c, s.values, s.reloaded = c, values, time.Now() // one that was refused may be mended at once
	return changed, nil
}

// mostSliceNATS leaves room in a broker's usual max_payload of 1 MiB.
const mostSliceNATS = 512 << 10

// openExporter opens a sink by its address. Where it is another machine's it need not be there yet.
func openExporter(ctx context.Context, address string) (export.Exporter, func() error, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "memory":
		return memory.New(memory.Options{}), func() error { return nil }, nil
	case "ledger":
		l, err := ledger.Open(filepath.Clean(rest), ledger.Options{})
		if err != nil {
			return nil, nil, err
		}
		return l, l.Close, nil
	case "nats", "tls":
		e, err := jetstream.ConnectURL(ctx, address, jetstream.Options{MaxSliceBytes: mostSliceNATS, Later: true})
		if err != nil {
			return nil, nil, err
		}
		return e, e.Close, nil
	}
	c, err := httpledger.New(address, httpledger.Options{})
	if err != nil {
		return nil, nil, usagef("sink: %w", err)
	}
	return c, c.Close, nil
}
