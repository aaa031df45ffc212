package adapter_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/internal/certtest"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// Slices over TCP and the Unix socket, plain and compressed, reach the sink in order; the answers are the contract's.
func TestExport(t *testing.T) {
	r := start(t, func(s *setup) { s.q.Dir = t.TempDir(); s.o.AllowUIDs = []uint32{uint32(os.Getuid())} })
	c := exporttest.NewChain(exporttest.Stream("export", 0), 40)
	all := c.Take(4)
	a := r.post(all[0])
	if want := fmt.Sprintf("{\"ack\":\"ok\",\"seq\":\"0\",\"b3\":\"%v\"}\n", all[0].Digest()); a.status != 202 || a.body != want {
		t.Fatalf("got %d %s, want 202 %s", a.status, a.body, want)
	}
	if a := r.post(all[0]); a.status != 202 || !strings.HasPrefix(a.body, `{"ack":"dup","seq":"0"`) {
		t.Error(a)
	}
	uds := r.udsClient() // no token: the peer's user is on the list
	for i, coding := range []string{"GZIP", "zstd", ""} {
		b := all[i+1].Bytes()
		switch coding {
		case "GZIP":
			b = gz(b)
		case "zstd":
			b = zst(b)
		}
		if a := r.do(uds, "POST", "http://adapter/export", b, hdr{"Content-Type": canon.MediaType, "Content-Encoding": coding}); a.status != 202 {
			t.Error(coding, a)
		}
	}
	r.stop()
	seq, d, ok, _ := r.sink.Tip(t.Context(), c.Stream)
	if !ok || seq != 3 || d != all[3].Digest() {
		t.Errorf("the sink's tip is %d, want 3", seq)
	}
}

func TestPeerList(t *testing.T) {
	r := start(t, func(s *setup) { s.o.AllowUIDs = []uint32{uint32(os.Getuid()) + 1} })
	c := exporttest.NewChain(exporttest.Stream("peer", 0), 1)
	s := c.Next()
	uds := r.udsClient()
	if a := r.do(uds, "POST", "http://adapter/export", s.Bytes(), hdr{"Content-Type": canon.MediaType}); a.status != 403 || a.code != "forbidden" || testutil.ToFloat64(r.metrics.AuthFail) != 1 {
		t.Error(a)
	}
	if a := r.do(uds, "POST", "http://adapter/export", s.Bytes(), hdr{"Content-Type": canon.MediaType, "Authorization": "Bearer " + r.token()}); a.status != 202 {
		t.Error(a)
	}
}

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	with := func(s *setup) { s.q.Dir = dir }
	r := start(t, with)
	tenant := "00000000000000000000000000000007"
	jsonRows := `{"rows":[{"tenant":"` + tenant + `","dimension":"bytes","ns":1,"subject":"` + tenant + `","inc":"5"},{"tenant":"` + tenant + `","dimension":"cpu","subject":"` + tenant + `","inc":"18446744073709551615"}]}`
	id := make([]byte, 16)
	id[15] = 7
	cborRows, err := cbor.Marshal(map[string]any{"rows": []any{
		map[string]any{"tenant": id, "dimension": "bytes", "ns": 1, "subject": tenant, "inc": 5},
		map[string]any{"tenant": tenant, "dimension": "cpu", "subject": id, "inc": "18446744073709551615"}}})
	if err != nil {
		t.Fatal(err)
	}
	rec := func(r *rig, kind, key string, body []byte) answer {
		return r.do(r.http, "POST", r.base+"/record", body, hdr{"Content-Type": kind, "Idempotency-Key": key, "Authorization": "Bearer " + r.token("tenant="+tenant)})
	}
	if a := rec(r, "application/json", "one", []byte(jsonRows)); a.status != 200 || a.body != "{\"ack\":\"ok\",\"results\":[\"ok\",\"ok\"]}\n" {
		t.Fatal(a)
	}
	if a := rec(r, "application/cbor", "one", cborRows); a.status != 200 || a.body != "{\"ack\":\"dup\",\"results\":[\"dup\",\"dup\"]}\n" { // the same batch, encoded anew
		t.Error(a)
	}
	if n := r.counts.total(); n != 4 { // 5 and 2^64-1
		t.Errorf("counted %d, want 4 (mod 2^64)", n)
	}
	if a := rec(r, "application/cbor", "two", cborRows); a.status != 200 || !strings.Contains(a.body, `"ok"`) || r.counts.total() != 8 {
		t.Error(a, r.counts.total())
	}
	// Many at once with one key count once.
	var wg sync.WaitGroup
	var fresh atomic.Int32
	for range 16 {
		wg.Go(func() {
			if a := rec(r, "application/json", "three", []byte(jsonRows)); strings.Contains(a.body, `"ack":"ok"`) {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 || r.counts.total() != 12 {
		t.Errorf("%d of 16 counted, total %d; want 1 and 12", fresh.Load(), r.counts.total())
	}
	// One bad row: none counts, and each bad one is named.
	bad := strings.Replace(jsonRows, `"cpu"`, `"gpu"`, 1)
	if a := rec(r, "application/json", "four", []byte(bad)); a.status != 400 || !strings.Contains(a.body, `"rows":[{"row":1,"code":"schema"`) || r.counts.total() != 12 {
		t.Error(a, r.counts.total())
	}
	r.stop()
	again := start(t, with)
	if a := rec(again, "application/json", "one", []byte(jsonRows)); !strings.Contains(a.body, `"ack":"dup"`) || again.counts.total() != 0 {
		t.Errorf("after a restart: %+v", a)
	}
}

func TestReadiness(t *testing.T) {
	r := start(t, nil)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		if a := r.do(r.http, "GET", r.base+path, nil, nil); a.status != 200 {
			t.Error(path, a)
		}
	}
	r.sink.set(true)
	c := exporttest.NewChain(exporttest.Stream("ready", 0), 1)
	r.sink.set(false)
	r.post(c.Next())
	r.sink.set(true)
	r.post(c.Next())
	for {
		a := r.do(r.http, "GET", r.base+"/readyz", nil, nil)
		if a.status == 503 {
			if !strings.HasPrefix(a.body, `{"degraded":true,"missing":["exporter_ok"],"retry_after":15`) {
				t.Error(a.body)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if a := r.do(r.http, "GET", "http://"+r.srv.MetricsAddr().String()+"/metrics", nil, nil); a.status != 200 || !strings.Contains(a.body, "\nreadyz_missing_total{key=\"exporter_ok\"} 1\n") {
		t.Error(a.status)
	}
	if a := r.do(r.http, "GET", r.base+"/metrics", nil, nil); a.status != 404 {
		t.Error("the metrics are on the main listener")
	}
}

func TestMetricsLint(t *testing.T) {
	r := start(t, nil)
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// A rotated certificate is shown to new connections; those that are open, and requests under way, go on. Clients must show theirs.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.Write(t, dir, "ca", 1, nil)
	certtest.Write(t, dir, "server", 2, ca)
	client := certtest.Write(t, dir, "client", 3, ca)
	certs, err := adapter.LoadCertificates(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(s *setup) { s.srv.TLS = certs })
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	conf := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*client}}
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	base := "https://" + r.srv.Addr().String()
	chain := exporttest.NewChain(exporttest.Stream("tls", 0), 1)
	post := func() (serial int64, proto string) {
		req, _ := http.NewRequest("POST", base+"/export", bytes.NewReader(chain.Next().Bytes()))
		req.Header.Set("Content-Type", canon.MediaType)
		req.Header.Set("Authorization", "Bearer "+r.token())
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != 202 {
			t.Fatal(res.Status)
		}
		return res.TLS.PeerCertificates[0].SerialNumber.Int64(), res.Proto
	}
	if serial, proto := post(); serial != 2 || proto != "HTTP/2.0" {
		t.Fatalf("certificate %d, %s", serial, proto)
	}
	certtest.Write(t, dir, "server", 4, ca)
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if serial, _ := post(); serial != 2 {
		t.Errorf("the open connection shows certificate %d: it was dropped", serial)
	}
	tr.CloseIdleConnections()
	if serial, _ := post(); serial != 4 {
		t.Errorf("a new connection shows certificate %d, want 4", serial)
	}
	if err := os.WriteFile(filepath.Join(dir, "server.crt"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if certs.Reload() == nil {
		t.Error("nonsense is taken for a certificate")
	}
	tr.CloseIdleConnections()
	if serial, _ := post(); serial != 4 {
		t.Errorf("after a reload that failed: certificate %d, want 4", serial)
	}
	for name, bad := range map[string]*tls.Config{"no client certificate": {RootCAs: pool}, "TLS 1.2": {RootCAs: pool, Certificates: []tls.Certificate{*client}, MaxVersion: tls.VersionTLS12}} {
		conn, err := tls.Dial("tcp", r.srv.Addr().String(), bad)
		if err == nil { // in TLS 1.3 the client learns of it with the first read
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestInsecureIsLoopbackOnly(t *testing.T) {
	q := start(t, nil).q
	a, err := adapter.New(adapter.Options{Queue: q, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "192.0.2.1:0": false} {
		s, err := adapter.Listen(a, nil, adapter.ServerOptions{Addr: addr})
		if err == nil {
			s.Close()
		}
		if refused := err != nil && strings.Contains(err.Error(), "loopback"); refused == ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := adapter.Listen(a, nil, adapter.ServerOptions{UDS: file}); err == nil {
		t.Error("a regular file was replaced by a socket")
	}
	_ = q
}

// A client that has shut its half of the connection down gets its answer.
func TestHalfClosed(t *testing.T) {
	r := start(t, nil)
	c := exporttest.NewChain(exporttest.Stream("half", 0), 1)
	s := c.Next()
	conn := dial(t, r.srv.Addr().String())
	defer conn.Close()
	send(t, conn, fmt.Sprintf("POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", canon.MediaType, r.token(), len(s.Bytes()), s.Bytes()))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

// A client that reads only after it has sent everything hears why it is refused, over a Unix socket too, where an early end would break its pipe.
func TestRefusedWhileSending(t *testing.T) {
	r := start(t, nil)
	for _, network := range []string{"unix", "tcp"} {
		for want, head := range map[int]string{413: "Authorization: Bearer " + r.token(), 401: "Authorization: Bearer none"} {
			to := r.uds
			if network == "tcp" {
				to = r.srv.Addr().String()
			}
			conn, err := net.Dial(network, to)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the connection serves on
				send(t, conn, fmt.Sprintf("POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\nContent-Length: %d\r\n\r\n", canon.MediaType, head, 3<<20))
				for range 3 << 4 {
					if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
						t.Fatalf("%s, %d: %v", network, want, err)
					}
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || res.StatusCode != want {
					t.Fatalf("%s: got %v, %v, want %d", network, res, err, want)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			conn.Close()
		}
	}
}

// A client that waits for 100 Continue is refused before it sends anything.
func TestRefusedBeforeSending(t *testing.T) {
	r := start(t, nil)
	conn := dial(t, r.srv.Addr().String())
	defer conn.Close()
	send(t, conn, fmt.Sprintf("POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", canon.MediaType, r.token(), 3<<20))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 413 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

// Who takes longer to send than the write timeout still has all of it to take the answer.
func TestSlowSenderIsAnswered(t *testing.T) {
	r := start(t, func(s *setup) {
		s.o.OpDeadline = 100 * time.Millisecond
		s.srv.Timeouts = adapter.Timeouts{Write: 200 * time.Millisecond}
	})
	s := exporttest.NewChain(exporttest.Stream("slow sender", 0), 1).Next()
	conn := dial(t, r.srv.Addr().String())
	defer conn.Close()
	send(t, conn, fmt.Sprintf("POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", canon.MediaType, r.token(), len(s.Bytes())))
	time.Sleep(300 * time.Millisecond)
	send(t, conn, string(s.Bytes()))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

// Clients that send a byte now and then are cut off after the read timeout, in the header and in the body, and hold up nobody.
func TestSlowLoris(t *testing.T) {
	r := start(t, func(s *setup) {
		s.o.OpDeadline = 900 * time.Millisecond
		s.srv.Timeouts = adapter.Timeouts{Read: 200 * time.Millisecond, Write: time.Second, Idle: time.Second}
		s.srv.MaxConns = 64
	})
	var wg sync.WaitGroup
	for i := range 48 {
		conn := dial(t, r.srv.Addr().String())
		defer conn.Close()
		text := "POST /export HTTP/1.1\r\nHost: x\r\n"
		if i%2 == 0 {
			text += "Content-Type: " + canon.MediaType + "\r\nAuthorization: Bearer " + r.token() + "\r\nContent-Length: 1000\r\n\r\n"
		}
		send(t, conn, text)
		wg.Go(func() {
			for range 100 {
				if _, err := conn.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Error("a connection that sends a byte now and then lives for 5 s")
		})
	}
	c := exporttest.NewChain(exporttest.Stream("loris", 0), 1)
	for range 10 {
		if a := r.post(c.Next()); a.status != 202 {
			t.Error(a)
		}
	}
	wg.Wait()
}

// Ten thousand hostile requests of all kinds, from several connections, with good ones between them: every good one is answered and
// the memory that lives afterwards is what it was.
func TestHostileRequests(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	r := start(t, func(s *setup) { s.q.Horizon = 64; s.q.MaxKeys = 64; s.q.MaxStreams = 256 })
	bomb := make([]byte, 8<<20)
	any := "Bearer " + r.token()
	kinds := []struct {
		path string
		body []byte
		h    hdr
	}{
		{"/export", random(2000), hdr{"Content-Type": canon.MediaType}},
		{"/export", gz(bomb), hdr{"Content-Type": canon.MediaType, "Content-Encoding": "gzip"}},
		{"/export", zst(bomb), hdr{"Content-Type": canon.MediaType, "Content-Encoding": "zstd"}},
		{"/export", zst(random(100_000))[:5000], hdr{"Content-Type": canon.MediaType, "Content-Encoding": "zstd"}},
		{"/export", random(30_000), hdr{"Content-Type": canon.MediaType, "Authorization": "Bearer " + string(bytes.Repeat([]byte("A"), 4000))}},
		{"/record", bytes.Repeat([]byte("["), 20_000), hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}},
		{"/record", bytes.Repeat([]byte{0x9b, 0x7f}, 5_000), hdr{"Content-Type": "application/cbor", "Idempotency-Key": "k"}},
		{"/export", exporttest.NewChain(exporttest.Stream("hostile", 1), 2).Gap(1<<40, nil).Bytes(), hdr{"Content-Type": canon.MediaType}},
		{"/" + strings.Repeat("x", 2000), nil, nil},
	}
	round := func(n int) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				chain := exporttest.NewChain(exporttest.Stream(fmt.Sprint("good", n), w), 2)
				for i := range n / 4 {
					k := kinds[(i+w)%len(kinds)]
					h := hdr{"Authorization": any}
					for name, v := range k.h {
						h[name] = v
					}
					if a := r.do(r.http, "POST", r.base+k.path, k.body, h); a.status < 400 && k.path != "/export" || a.status >= 500 {
						t.Errorf("kind %d: %+v", (i+w)%len(kinds), a)
					}
					if i%50 == 0 {
						if a := r.post(chain.Next()); a.status != 202 {
							t.Errorf("a good request: %+v", a)
						}
					}
				}
			})
		}
		wg.Wait()
	}
	live := func() uint64 {
		r.http.CloseIdleConnections()
		for r.q.Stats().Slices > 0 {
			time.Sleep(time.Millisecond)
		}
		runtime.GC()
		runtime.GC() // pools are emptied in two steps
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	round(400)
	before := live()
	round(n)
	after := live()
	t.Logf("live heap: %d KiB before, %d KiB after %d requests", before>>10, after>>10, n)
	if after > before+8<<20 {
		t.Errorf("the live heap grew from %d to %d bytes", before, after)
	}
}

// While the adapter shuts down, requests under way are answered.
func TestGracefulStop(t *testing.T) {
	r := start(t, nil)
	conn := dial(t, r.srv.Addr().String())
	defer conn.Close()
	c := exporttest.NewChain(exporttest.Stream("stop", 0), 1)
	s := c.Next()
	send(t, conn, fmt.Sprintf("POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", canon.MediaType, r.token(), len(s.Bytes())))
	for r.metric("accounting_adapter_inflight_bytes", nil) == 0 {
		time.Sleep(time.Millisecond)
	}
	go r.stop()
	time.Sleep(20 * time.Millisecond)
	send(t, conn, string(s.Bytes()))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	r.stop()
}

// FuzzRequest feeds whole bodies to both routes: never a panic, never a 5xx.
func FuzzRequest(f *testing.F) {
	q, err := ingress.Open(ingress.Options{Sink: export.Sink{Name: "mem", Exporter: &sink{Sink: memory.New(memory.Options{})}}, MaxStreams: 16, MaxSlices: 16, MaxKeys: 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = q.Close(ctx)
	})
	counted := &counts{most: 16, of: map[pipeline.Key]uint64{}}
	ring, _ := token.ParseRing([]byte(rootKeys))
	a, err := adapter.New(adapter.Options{Queue: q, Tokens: ring, Dimensions: []string{"bytes"}, Record: adapter.Into(counted.counter)})
	if err != nil {
		f.Fatal(err)
	}
	good, _ := ring.Mint()
	slice := exporttest.NewChain(exporttest.Stream("fuzz", 0), 2).Next()
	f.Add(uint8(0), slice.Bytes())
	f.Add(uint8(1), gz(slice.Bytes()))
	f.Add(uint8(2), zst(slice.Bytes()))
	f.Add(uint8(3), []byte(`{"rows":[{"tenant":"00000000000000000000000000000007","dimension":"bytes","subject":"00000000000000000000000000000007","inc":"5"}]}`))
	f.Add(uint8(4), []byte{0xa1, 0x64, 'r', 'o', 'w', 's', 0x80})
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		req, _ := http.NewRequest("POST", "/export", bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+good)
		req.Header.Set("Content-Type", canon.MediaType)
		switch kind % 5 {
		case 1:
			req.Header.Set("Content-Encoding", "gzip")
		case 2:
			req.Header.Set("Content-Encoding", "zstd")
		case 3, 4:
			req.URL.Path = "/record"
			req.Header.Set("Idempotency-Key", "k")
			req.Header.Set("Content-Type", "application/json")
			if kind%5 == 4 {
				req.Header.Set("Content-Type", "application/cbor")
			}
		}
		w := &discard{h: http.Header{}}
		a.ServeHTTP(w, req)
		if w.status == 500 {
			t.Errorf("kind %d: 500", kind%5)
		}
	})
}

type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(s int)           { d.status = s }
