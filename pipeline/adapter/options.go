package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

// Queue is where accepted slices and idempotency keys are kept; *ingress.Queue is one.
type Queue interface {
	Put(ctx context.Context, s canon.SealedSlice, release func()) (export.Ack, error)
	Count(ctx context.Context, key, batch canon.Digest, rows []byte, add ingress.Recount) (dup bool, err error)
	Missing() []pipeline.ReadyKey
	Stats() ingress.Stats
}

// Options of an adapter; zero fields have the default.
type Options struct {
	Queue      Queue
	Record     Prepare                   // what POST /record counts into; nil: the route does not exist
	Dimensions []string                  // names by number, for /record
	Readiness  func() pipeline.Readiness // of the recorder; nil: only the queue's

	Tokens    *token.Ring // nil: no tokens. SetTokens changes it
	Audience  string      // what aud caveats must say
	AllowUIDs []uint32    // peers of the Unix socket that need no token
	Insecure  bool        // everybody may do everything: the listener must be loopback only

	MaxInflightBytes int64         // of bodies being received or judged; 64 MiB; one principal at most half
	MaxInflight      int           // requests with bodies; 1024; one principal at most half
	MaxSlice         func() int    // bytes of a slice that the sink takes: more is refused, not accepted and kept for ever; nil: 1 MiB
	MaxRows          int           // of a POST /record; 8192
	OpDeadline       time.Duration // from a body's end to the answer; 4 s. Below the write timeout

	Metrics *pipeline.Metrics // nil: of its own
	Logger  *slog.Logger      // nil: silent
}

func (o *Options) setDefaults() {
	if o.MaxInflightBytes == 0 {
		o.MaxInflightBytes = 64 << 20
	}
	if o.MaxInflight == 0 {
		o.MaxInflight = 1024
	}
	if o.MaxRows == 0 {
		o.MaxRows = 8192
	}
	if o.OpDeadline == 0 {
		o.OpDeadline = 4 * time.Second
	}
	if o.Metrics == nil {
		o.Metrics = pipeline.NewMetrics(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// validate reports every fault at once; o has its defaults.
func (o *Options) validate() error {
	var faults []error
	check := func(ok bool, field string, got any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("accounting/adapter: Options.%s: got %v, want %s", field, got, want))
		}
	}
	check(o.Queue != nil, "Queue", nil, "a queue")
	check(o.Insecure || o.Tokens != nil || len(o.AllowUIDs) > 0, "Tokens", nil, "root keys, AllowUIDs, or Insecure")
	check(!o.Insecure || o.Tokens == nil && len(o.AllowUIDs) == 0, "Insecure", true, "false where there are Tokens or AllowUIDs")
	check(o.MaxInflightBytes >= 4<<20, "MaxInflightBytes", o.MaxInflightBytes, "at least 4 MiB")
	check(o.MaxInflight >= 2, "MaxInflight", o.MaxInflight, "at least 2")
	check(o.MaxRows >= 1 && o.MaxRows <= 1<<16, "MaxRows", o.MaxRows, "1 to 65536")
	check(o.OpDeadline >= time.Millisecond, "OpDeadline", o.OpDeadline, "at least 1ms")
	return errors.Join(faults...)
}

// ServerOptions say where an adapter listens.
type ServerOptions struct {
	Addr        string        // TCP; "": none
	UDS         string        // Unix socket, mode 0600, or 0666 where AllowUIDs name others; "": none
	MetricsAddr string        // TCP for GET /metrics; "": none
	TLS         *Certificates // of Addr; nil: plain
	MaxConns    int           // open connections of each listener; 4096
	Shutdown    time.Duration // for requests under way; 5 s
	Timeouts    Timeouts
}

// Timeouts of a connection; the zero fields have the contract's: 5 s to read a request, 5 s to write an answer, 60 s idle.
type Timeouts struct{ Read, Write, Idle time.Duration }

const (
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	idleTimeout  = 60 * time.Second
)

// tlsConfig is c's configuration, nil without certificates.
func tlsConfig(c *Certificates) *tls.Config {
	if c == nil {
		return nil
	}
	return c.config()
}
