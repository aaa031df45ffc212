package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/internal/certtest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// caller speaks to one served adapter.
type caller struct {
	t               *testing.T
	c               *http.Client
	base, metricsAt string
	bearer          string
}

type reply struct {
	status int
	body   string
	header http.Header
	serial int64 // of the server's certificate
}

func (c *caller) send(method, path, kind string, body []byte, h map[string]string) reply {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	res, err := c.c.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	out := reply{status: res.StatusCode, body: string(b), header: res.Header}
	if res.TLS != nil {
		out.serial = res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return out
}

func (c *caller) slice(s canon.SealedSlice) reply {
	c.t.Helper()
	return c.send("POST", "/export", canon.MediaType, s.Bytes(), nil)
}

func (c *caller) record(key string) reply {
	c.t.Helper()
	row := `{"rows":[{"tenant":"00000000000000000000000000000007","dimension":"bytes","ns":1,"subject":"000000000000000000000000000000aa","inc":"4"}]}`
	return c.send("POST", "/record", "application/json", []byte(row), map[string]string{"Idempotency-Key": key})
}

// metrics is what GET /metrics shows.
func (c *caller) metrics() string {
	c.t.Helper()
	res, err := http.Get(c.metricsAt)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// refused checks an answer's status and code, and the series that must read 1 after it.
func (c *caller) refused(r reply, status int, code, retry string, series ...string) {
	c.t.Helper()
	if r.status != status || !strings.Contains(r.body, `"code":"`+code+`"`) || r.header.Get("Retry-After") != retry || r.header.Get("Content-Type") != "application/problem+json" {
		c.t.Errorf("got %d, Retry-After %q: %s; want %d %s, Retry-After %q", r.status, r.header.Get("Retry-After"), r.body, status, code, retry)
	}
	text := c.metrics()
	for _, s := range series {
		if !strings.Contains(text, "\n"+s+" 1\n") {
			c.t.Errorf("after %s: %s is not 1: %s", code, s, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(s)+` .*$`).FindString(text))
		}
	}
}

// A process of its own over TLS with client certificates: what has no room is refused with its status, code and metric, and taken once there is; a rotated
// certificate drops no connection; who shows no certificate does not come in.
func TestServedRefusalsAndTLS(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.Write(t, dir, "ca", 1, nil)
	certtest.Write(t, dir, "server", 2, ca)
	client := certtest.Write(t, dir, "client", 3, ca)
	l, err := ledger.Open(filepath.Join(dir, "ledger.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var down atomic.Bool
	handler := l.Handler(ledger.HandlerOptions{})
	book := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer book.Close()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(command(t, "", "token", "key", "e2e")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := spawn(t, "serve", "--sink", book.URL, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--dir", filepath.Join(dir, "state"), "--token-keys", keys,
		"--tls-cert", filepath.Join(dir, "server.crt"), "--tls-key", filepath.Join(dir, "server.key"), "--client-ca", filepath.Join(dir, "ca.crt"),
		"--set", "lane_capacity=2", "--set", "serve.stage_slices=4", "--set", "serve.tenant_share=1", "--set", "serve.max_keys=1", "--set", "capacity_rows=100",
		"--set", "backoff.cap=100ms")
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*client}}}
	defer tr.CloseIdleConnections()
	c := &caller{t, &http.Client{Transport: tr, Timeout: 10 * time.Second}, waitFor(t, out, onAddr), waitFor(t, out, onMetrics),
		strings.TrimSpace(command(t, "", "token", "mint", "--keys", keys))}

	a, b, fresh := exporttest.NewChain(exporttest.Stream("e2e", 0), 2), exporttest.NewChain(exporttest.Stream("e2e", 1), 2), exporttest.NewChain(exporttest.Stream("e2e", 2), 2)
	for _, s := range []canon.SealedSlice{a.Next(), b.Next()} {
		if r := c.slice(s); r.status != 202 || r.serial != 2 {
			t.Fatal(r)
		}
	}
	if r := c.record("one"); r.status != 200 {
		t.Fatal(r)
	}
	c.refused(c.record("two"), 429, "busy", "1", `rejected_total{reason="busy"}`, `accounting_adapter_requests_total{code="busy",route="/record"}`)
	waitMetric(t, c, "accounting_adapter_staged_bytes", "0")

	down.Store(true)
	c.refused(c.slice(fresh.Next()), 503, "not_ready", "1", `accounting_adapter_requests_total{code="not_ready",route="/export"}`)
	for range 2 {
		if r := c.slice(a.Next()); r.status != 202 {
			t.Fatal(r)
		}
	}
	third := a.Next()
	c.refused(c.slice(third), 422, "order_overflow", "", `rejected_total{reason="order_overflow"}`, `accounting_adapter_requests_total{code="order_overflow",route="/export"}`)
	for range 2 {
		if r := c.slice(b.Next()); r.status != 202 {
			t.Fatal(r)
		}
	}
	other := b.Next()
	if r := c.slice(other); r.status != 422 { // its lane is full before the staging is looked at
		t.Error(r)
	}

	certtest.Write(t, dir, "server", 4, ca)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, out, regexp.MustCompile(`msg=reloaded`))
	if r := c.slice(third); r.status != 422 || r.serial != 2 {
		t.Errorf("the open connection after the rotation: %d, certificate %d; want 422, 2", r.status, r.serial)
	}
	tr.CloseIdleConnections()
	down.Store(false)
	waitMetric(t, c, "accounting_adapter_staged_bytes", "0")
	for _, s := range []canon.SealedSlice{third, other} {
		if r := c.slice(s); r.status != 202 || r.serial != 4 {
			t.Errorf("once there is room: %+v", r)
		}
	}
	text := c.metrics() // of a real run: the dashboard and the alerts find all of their series
	for m, e := range askedMetrics(t) {
		if !strings.Contains(text, "\n"+m+"{") && !strings.Contains(text, "\n"+m+" ") {
			t.Errorf("%s: a served adapter shows no %s", e, m)
		}
	}
	for name, conf := range map[string]*tls.Config{"no client certificate": {RootCAs: pool}, "TLS 1.2": {RootCAs: pool, Certificates: []tls.Certificate{*client}, MaxVersion: tls.VersionTLS12}} {
		stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 5 * time.Second}
		if res, err := stranger.Get(c.base + "/readyz"); err == nil {
			res.Body.Close()
			t.Errorf("%s: got %s, want no answer", name, res.Status)
		}
	}
}

// A full staging log is 503 with its own Retry-After, and readiness says so.
func TestServedStagingIsFull(t *testing.T) {
	dir := t.TempDir()
	var down atomic.Bool
	l, err := ledger.Open(filepath.Join(dir, "ledger.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	handler := l.Handler(ledger.HandlerOptions{})
	book := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer book.Close()
	cmd, out := spawn(t, "serve", "--sink", book.URL, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--dir", filepath.Join(dir, "state"), "--insecure",
		"--set", "serve.stage_slices=2", "--set", "serve.tenant_share=1", "--set", "capacity_rows=100")
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := &caller{t, http.DefaultClient, waitFor(t, out, onAddr), waitFor(t, out, onMetrics), ""}
	a := exporttest.NewChain(exporttest.Stream("full", 0), 2)
	if r := c.slice(a.Next()); r.status != 202 {
		t.Fatal(r)
	}
	waitMetric(t, c, "accounting_adapter_staged_bytes", "0")
	down.Store(true)
	c.slice(a.Next())
	c.slice(a.Next())
	c.refused(c.slice(a.Next()), 503, "not_ready", "5", `rejected_total{reason="wal_full"}`, `accounting_adapter_requests_total{code="not_ready",route="/export"}`)
	if r := c.send("GET", "/readyz", "", nil, nil); r.status != 503 || !strings.Contains(r.body, "queues_bounded_ok") {
		t.Error(r)
	}
	waitMetric(t, c, "accounting_degraded", "1")
	http.DefaultClient.CloseIdleConnections()
}

func waitMetric(t *testing.T, c *caller, series, value string) {
	t.Helper()
	for range 500 {
		if strings.Contains(c.metrics(), "\n"+series+" "+value+"\n") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not become %s", series, value)
}

// A service starts before its broker: it says what is missing, keeps what is counted, and exports it when the broker comes.
func TestServedBeforeItsBroker(t *testing.T) {
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	cmd, out := spawn(t, "serve", "--sink", fmt.Sprintf("nats://127.0.0.1:%d", port), "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--dir", filepath.Join(dir, "state"),
		"--insecure", "--set", "capacity_rows=100", "--set", "profile=macronode", "--set", "wal.dir="+filepath.Join(dir, "wal"), "--set", "window=1s", "--set", "allow_short_window=true")
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := &caller{t, http.DefaultClient, waitFor(t, out, onAddr), waitFor(t, out, onMetrics), ""}
	if r := c.send("GET", "/readyz", "", nil, nil); r.status != 503 || !strings.Contains(r.body, `"missing":["exporter_ok"]`) {
		t.Errorf("without a broker: %d %s", r.status, r.body)
	}
	waitFor(t, out, regexp.MustCompile(`level=WARN.*no server has taken the connection`))
	if r := c.record("one"); r.status != 200 {
		t.Error(r)
	}
	chain := exporttest.NewChain(exporttest.Stream("early", 0), 1)
	first := chain.Next()
	c.refused(c.slice(first), 503, "not_ready", "1", `accounting_adapter_requests_total{code="not_ready",route="/export"}`)
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	waitMetric(t, c, `accounting_units{dimension="bytes",state="acked"}`, "4")
	waitMetric(t, c, "accounting_degraded", "0")
	if r := c.slice(first); r.status != 202 {
		t.Error(r)
	}
	http.DefaultClient.CloseIdleConnections()
}

// With NATS as the sink a slice that the broker would not take is refused, and what was accepted is in JetStream.
func TestServedToNATS(t *testing.T) {
	dir := t.TempDir()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true, SyncAlways: true, MaxPayload: 513 << 10})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker did not start")
	}
	cmd, out := spawn(t, "serve", "--sink", srv.ClientURL(), "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--dir", filepath.Join(dir, "state"), "--insecure", "--set", "capacity_rows=100")
	c := &caller{t, http.DefaultClient, waitFor(t, out, onAddr), waitFor(t, out, onMetrics), ""}
	fits, large := exporttest.NewChain(exporttest.Stream("nats", 0), 21_000), exporttest.NewChain(exporttest.Stream("nats", 1), 24_000)
	last := fits.Take(3)
	for _, s := range last {
		if n := len(s.Bytes()); n < 450<<10 || n > 512<<10 {
			t.Fatalf("a slice of %d bytes shows nothing", n)
		}
		if r := c.slice(s); r.status != 202 {
			t.Fatal(r)
		}
	}
	c.refused(c.slice(large.Next()), 413, "oversize", "", `rejected_total{reason="oversize"}`, `accounting_adapter_requests_total{code="oversize",route="/export"}`)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, fmt.Sprint(out))
	}
	http.DefaultClient.CloseIdleConnections()
	e, err := jetstream.ConnectURL(t.Context(), srv.ClientURL(), jetstream.Options{MaxSliceBytes: mostSliceNATS})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if seq, d, ok, err := e.Tip(t.Context(), fits.Stream); !ok || seq != 2 || d != last[2].Digest() || err != nil {
		t.Errorf("the tip in JetStream: got %d %v %v, want 2", seq, ok, err)
	}
}
