package adapter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rootKeys = "test 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// counts is a recorder with room for some keys.
type counts struct {
	mu   sync.Mutex
	most int
	of   map[pipeline.Key]uint64
}

type counter struct {
	c *counts
	k pipeline.Key
}

func (c counter) Add(n uint64) { c.c.mu.Lock(); c.c.of[c.k] += n; c.c.mu.Unlock() }

func (c *counts) counter(k pipeline.Key) (counter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.of[k]; !ok {
		if len(c.of) >= c.most {
			return counter{}, pipeline.ErrBusy
		}
		c.of[k] = 0
	}
	return counter{c, k}, nil
}

func (c *counts) total() (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.of {
		n += v
	}
	return n
}

// sink is a memory sink that can be shut: then it answers 503, or holds calls up.
type sink struct {
	*memory.Sink
	mu   sync.Mutex
	shut bool
}

func (s *sink) set(shut bool) { s.mu.Lock(); s.shut = shut; s.mu.Unlock() }
func (s *sink) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return &export.RemoteError{Op: "put", Status: 503, RetryAfter: 10 * time.Millisecond, Err: fmt.Errorf("shut")}
	}
	return nil
}
func (s *sink) Put(ctx context.Context, x canon.SealedSlice) (export.Ack, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Sink.Put(ctx, x)
}
func (s *sink) PutBatch(ctx context.Context, b []canon.SealedSlice) []export.Result {
	err := s.err()
	if err == nil {
		return s.Sink.PutBatch(ctx, b)
	}
	out := make([]export.Result, len(b))
	for i := range out {
		out[i].Err = err
	}
	return out
}
func (s *sink) Tip(ctx context.Context, x export.Stream) (uint64, canon.Digest, bool, error) {
	if err := s.err(); err != nil {
		return 0, canon.Digest{}, false, err
	}
	return s.Sink.Tip(ctx, x)
}

// rig is an adapter on real sockets.
type rig struct {
	t       *testing.T
	a       *adapter.Adapter
	q       *ingress.Queue
	sink    *sink
	counts  *counts
	ring    *token.Ring
	metrics *pipeline.Metrics
	reg     *prometheus.Registry
	srv     *adapter.Server
	uds     string
	http    *http.Client // over TCP
	base    string
	stop    func()
}

type setup struct {
	o   adapter.Options
	q   ingress.Options
	srv adapter.ServerOptions
}

func start(t *testing.T, with func(*setup)) *rig {
	t.Helper()
	r := &rig{t: t, sink: &sink{Sink: memory.New(memory.Options{Keep: true, Verify: true})}, counts: &counts{most: 4, of: map[pipeline.Key]uint64{}}, metrics: pipeline.NewMetrics([]string{"bytes", "requests", "cpu"})}
	var err error
	if r.ring, err = token.ParseRing([]byte(rootKeys)); err != nil {
		t.Fatal(err)
	}
	r.uds = filepath.Join(t.TempDir(), "s")
	set := setup{o: adapter.Options{Dimensions: []string{"bytes", "requests", "cpu"}, Tokens: r.ring, Audience: "edge", Record: adapter.Into(r.counts.counter), Metrics: r.metrics},
		q:   ingress.Options{Sink: export.Sink{Name: "mem", Exporter: r.sink}, Workers: 1, Metrics: r.metrics},
		srv: adapter.ServerOptions{Addr: "127.0.0.1:0", UDS: r.uds, MetricsAddr: "127.0.0.1:0"}}
	if with != nil {
		with(&set)
	}
	if r.q, err = ingress.Open(set.q); err != nil {
		t.Fatal(err)
	}
	set.o.Queue = r.q
	if r.a, err = adapter.New(set.o); err != nil {
		t.Fatal(err)
	}
	r.reg = prometheus.NewPedanticRegistry()
	r.reg.MustRegister(r.metrics, r.a.Collector())
	if r.srv, err = adapter.Listen(r.a, r.reg, set.srv); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.srv.Serve(ctx) }()
	r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
	if r.srv.Addr() != nil {
		r.base = "http://" + r.srv.Addr().String()
	}
	r.stop = sync.OnceFunc(func() {
		r.http.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.sink.set(false)
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.q.Close(end); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) token(caveats ...string) string {
	r.t.Helper()
	var all []token.Caveat
	for _, s := range caveats {
		c, err := token.ParseCaveat(s)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, c)
	}
	text, err := r.ring.Mint(all...)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

type answer struct {
	status int
	header http.Header
	body   string
	code   string
}

type hdr = map[string]string

func (r *rig) do(c *http.Client, method, url string, body []byte, h hdr) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range h {
		if k == "-length" {
			req.ContentLength = -1
			continue
		}
		req.Header.Set(k, v)
	}
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(b)}
	var doc struct{ Code string }
	if json.Unmarshal(b, &doc) == nil {
		a.code = doc.Code
	}
	return a
}

// post sends a slice with a token that may do everything.
func (r *rig) post(s canon.SealedSlice) answer {
	r.t.Helper()
	return r.do(r.http, "POST", r.base+"/export", s.Bytes(), hdr{"Content-Type": canon.MediaType, "Ron-B3": s.Digest().String(), "Authorization": "Bearer " + r.token()})
}

// udsClient talks over the Unix socket.
func (r *rig) udsClient() *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.uds)
	}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// requests returns accounting_adapter_requests_total of a route and code.
func (r *rig) requests(route, code string) float64 {
	r.t.Helper()
	return r.metric("accounting_adapter_requests_total", map[string]string{"route": route, "code": code})
}

func (r *rig) metric(name string, labels map[string]string) float64 {
	r.t.Helper()
	all, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			match := 0
			for _, l := range m.Label {
				if labels[l.GetName()] == l.GetValue() {
					match++
				}
			}
			if match == len(labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("no metric %s%v", name, labels)
	return 0
}

func (r *rig) rejected(reason string) float64 {
	if reason == "" {
		return 0
	}
	return testutil.ToFloat64(r.metrics.Rejected.WithLabelValues(reason))
}

func noSecret(t *testing.T, a answer, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(a.body, s) {
			t.Errorf("the answer tells %.20q: %s", s, a.body)
		}
	}
}
