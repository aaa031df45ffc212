package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

var (
	// ErrUnsafeStream: a JetStream stream is set so that it could lose what it has acked.
	ErrUnsafeStream = errors.New("accounting/jetstream: unsafe stream settings")
	// ErrMaxPayload: the server takes no message of a whole slice and its headers.
	ErrMaxPayload = errors.New("accounting/jetstream: the server's max_payload is too small")
)

// headroom is what the headers of a message may take of max_payload.
const headroom = 1 << 10

// leaderPoll is how often a stream without a leader is asked again.
const leaderPoll = 50 * time.Millisecond

const (
	namePrefix = "RON_"
	headerSeq  = "Ron-Seq"
	headerB3   = "Ron-B3"
)

// Options of an exporter; zero fields have the default.
type Options struct {
	Replicas      int           // of the streams that are created, and at least of those that exist; 1
	MaxSliceBytes int           // largest slice that max_payload must have room for; canon.MaxBytes
	Timeout       time.Duration // of the handshake; 5 s
	Duplicates    time.Duration // the broker's duplicate window of new streams; 2 min. Nothing depends on it
	MaxStreams    int           // chains whose tips are remembered; 262144
	NATS          []nats.Option // credentials, TLS, name …
	// Later lets Connect return although no server answers, or none can be asked for its streams yet, so that a service can start, and count, while
	// its broker is away. The checks are made when one answers; until then every call fails with *export.RemoteError, and the pipeline is not ready.
	Later bool
}

func (o *Options) setDefaults() {
	if o.Replicas <= 0 {
		o.Replicas = 1
	}
	if o.MaxSliceBytes <= 0 {
		o.MaxSliceBytes = canon.MaxBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Duplicates <= 0 {
		o.Duplicates = 2 * time.Minute
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = 1 << 18
	}
}

// Exporter implements export.BatchExporter and export.Tipper. It is safe for concurrent use; calls for one chain are the
// caller's to serialise, as export.Exporter says.
type Exporter struct {
	o  Options
	nc *nats.Conn
	js js.JetStream

	greeting sync.Mutex
	greeted  atomic.Bool           // the server was checked
	told     atomic.Pointer[error] // what the server said beside its answers, since the last ack: no authorization, no permission

	mu     sync.Mutex
	parts  map[string]js.Stream // verified, by name
	chains map[export.Stream]*chain
}

// Connect connects to a NATS server or cluster (nats://host:port,…), checks max_payload and the settings of the months that exist.
// It fails with the network's error, ErrMaxPayload or ErrUnsafeStream. Later losses of the connection mend themselves.
func Connect(ctx context.Context, url string, o Options) (*Exporter, error) {
	o.setDefaults()
	e := &Exporter{o: o, parts: make(map[string]js.Stream), chains: make(map[export.Stream]*chain)}
	// The client would give up for good when it is refused twice; credentials are mended while the service runs.
	opts := append([]nats.Option{nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
		if s == nil {
			e.told.Store(&err)
		}
	}), nats.Name("ron-accounting"), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond), nats.ReconnectBufSize(-1), nats.Timeout(o.Timeout),
		nats.RetryOnFailedConnect(o.Later)}, o.NATS...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("accounting/jetstream: connect: %w", err)
	}
	e.nc = nc
	// A future that is given up with its context is forgotten by nats.go after this long.
	if e.js, err = js.New(nc, js.WithPublishAsyncMaxPending(1<<16), js.WithPublishAsyncTimeout(30*time.Second)); err == nil && (!o.Later || nc.IsConnected()) {
		c, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		err = e.greet(c)
		if o.Later && !errors.Is(err, ErrUnsafeStream) && !errors.Is(err, ErrMaxPayload) {
			err = nil // a cluster without a leader, say: it is asked again
		}
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("accounting/jetstream: handshake: %w", err)
	}
	return e, nil
}

// greet checks the server, once.
func (e *Exporter) greet(ctx context.Context) error {
	if e.greeted.Load() {
		return nil
	}
	e.greeting.Lock()
	defer e.greeting.Unlock()
	if !e.nc.IsConnected() {
		why := e.nc.LastError()
		if why == nil {
			why = nats.ErrNoServers
		}
		return &export.RemoteError{Op: "handshake", Err: fmt.Errorf("no server has taken the connection yet: %w", why)}
	}
	if got, want := e.nc.MaxPayload(), int64(e.o.MaxSliceBytes+headroom); got < want {
		return fmt.Errorf("%w: got %d, want at least %d (a slice of %d bytes and its headers)", ErrMaxPayload, got, want, e.o.MaxSliceBytes)
	}
	if _, err := e.list(ctx); err != nil {
		return err
	}
	e.greeted.Store(true)
	return nil
}

// MaxSliceBytes is the largest slice that the server takes; the last one's word while it is away. Above it Put fails for ever.
// Before the first one's word it is Options.MaxSliceBytes: one that takes less is not put to.
func (e *Exporter) MaxSliceBytes() int {
	n := int(e.nc.MaxPayload()) - headroom
	if n <= 0 {
		return e.o.MaxSliceBytes
	}
	return min(n, canon.MaxBytes)
}

// Close closes the connection.
func (e *Exporter) Close() error {
	e.nc.Close()
	return nil
}

// partitions is the number of JetStream streams of a month. A broker syncs one message of a stream at a time, so that a single stream takes no
// more than the disk has syncs a second; four side by side took 2.3 times as much as one. It is part of the mapping: never change it.
const partitions = 4

// partOf names the JetStream stream of a slice without its prefix: the month of its window's last second and its chain's partition.
func partOf(h *canon.Head) string {
	return time.Unix(int64(min(h.WindowEndS-1, 1<<40)), 0).UTC().Format("200601") + partition(export.StreamOf(*h))
}

// partition is where a chain belongs in every month: FNV-1a, which spreads ids that are counted up.
func partition(s export.Stream) string {
	f := fnv.New32a()
	_, _ = f.Write(s.Writer[:])
	_, _ = f.Write(s.Tenant[:])
	_, _ = f.Write([]byte(s.Dimension))
	return "-" + strconv.Itoa(int(f.Sum32()>>16%partitions))
}

func subject(s export.Stream, part string) string {
	return "u." + s.Writer.String() + "." + s.Tenant.String() + "." + s.Dimension + "." + part
}

// list returns the names of the parts that exist, newest first, each verified.
func (e *Exporter) list(ctx context.Context) ([]string, error) {
	l := e.js.StreamNames(ctx)
	var names []string
	for n := range l.Name() {
		if m, ok := strings.CutPrefix(n, namePrefix); ok && len(m) >= 6 {
			names = append(names, n)
		}
	}
	if err := l.Err(); err != nil && !errors.Is(err, js.ErrEndOfData) {
		return nil, err
	}
	sortNewestFirst(names)
	for _, n := range names {
		if _, err := e.part(ctx, strings.TrimPrefix(n, namePrefix), false); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// part returns a part's JetStream stream; where it does not exist it is created, or nil without create.
func (e *Exporter) part(ctx context.Context, part string, create bool) (js.Stream, error) {
	name := namePrefix + part
	e.mu.Lock()
	s := e.parts[name]
	e.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := e.js.Stream(ctx, name)
	if errors.Is(err, js.ErrStreamNotFound) {
		if !create {
			return nil, nil
		}
		s, err = e.js.CreateStream(ctx, e.config(part))
		if errors.Is(err, js.ErrStreamNameAlreadyInUse) { // another exporter was first, with other settings
			s, err = e.js.Stream(ctx, name)
		}
	}
	if err == nil {
		err = led(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	if err := e.verify(s.CachedInfo().Config, part); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.parts[name] = s
	e.mu.Unlock()
	return s, nil
}

// led waits until a replicated stream has a leader: a new one has none at first, and what is published before is answered by nobody.
func led(ctx context.Context, s js.Stream) error {
	for {
		if c := s.CachedInfo().Cluster; c == nil || c.Leader != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaderPoll):
		}
		if _, err := s.Info(ctx); err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

func (e *Exporter) config(part string) js.StreamConfig {
	return js.StreamConfig{Name: namePrefix + part, Subjects: []string{"u.*.*.*." + part}, Description: "ron-accounting: sealed slices of " + part,
		Retention: js.LimitsPolicy, Storage: js.FileStorage, Discard: js.DiscardNew, Replicas: e.o.Replicas, Duplicates: e.o.Duplicates,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1, DenyDelete: true, DenyPurge: true}
}

// verify names every setting by which a stream could lose a slice.
func (e *Exporter) verify(c js.StreamConfig, part string) error {
	var bad []string
	check := func(ok bool, what string, got any) {
		if !ok {
			bad = append(bad, fmt.Sprintf("%s (got %v)", what, got))
		}
	}
	check(len(c.Subjects) == 1 && c.Subjects[0] == "u.*.*.*."+part, "subjects u.*.*.*."+part, c.Subjects)
	check(c.Storage == js.FileStorage, "file storage", c.Storage)
	check(c.Retention == js.LimitsPolicy, "limits retention", c.Retention)
	check(c.Discard == js.DiscardNew, "discard new", c.Discard)
	check(c.DenyDelete, "deny delete", c.DenyDelete)
	check(c.DenyPurge, "deny purge", c.DenyPurge)
	check(!c.AllowRollup, "no rollup", c.AllowRollup)
	check(!c.AllowDirect && !c.MirrorDirect, "no direct reads", c.AllowDirect)
	check(c.MaxAge == 0, "no maximum age", c.MaxAge)
	check(c.MaxMsgs <= 0, "no maximum of messages", c.MaxMsgs)
	check(c.MaxMsgsPerSubject <= 0, "no maximum per subject", c.MaxMsgsPerSubject)
	check(c.MaxMsgSize <= 0 || int(c.MaxMsgSize) >= e.o.MaxSliceBytes+headroom, "room for a slice in max_msg_size", c.MaxMsgSize)
	check(c.PersistMode == js.DefaultPersistMode, "the default persist mode", c.PersistMode)
	check(c.SubjectTransform == nil, "no subject transform", "one")
	check(!c.NoAck, "acks", "no_ack")
	check(!c.Sealed, "not sealed", c.Sealed)
	check(c.Mirror == nil && len(c.Sources) == 0, "no mirror, no sources", "some")
	check(c.Replicas >= e.o.Replicas, fmt.Sprintf("%d replicas", e.o.Replicas), c.Replicas)
	if bad != nil {
		return fmt.Errorf("%w: stream %s: want %s", ErrUnsafeStream, c.Name, strings.Join(bad, ", "))
	}
	return nil
}
