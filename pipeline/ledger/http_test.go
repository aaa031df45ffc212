package ledger_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

func pathOf(s canon.SealedSlice) string {
	h := s.Head()
	return "/slices/" + h.Writer.String() + "/" + h.Tenant.String() + "/" + h.Dimension + "/" + decimal(h.Seq)
}

func decimal(v uint64) string { b, _ := json.Marshal(v); return string(b) }

func TestHTTP(t *testing.T) {
	l, _ := open(t, ledger.Options{})
	h := l.Handler(ledger.HandlerOptions{MaxBatchBytes: 2 << 20, MaxBatchSlices: 3})
	all := exporttest.NewChain(exporttest.Stream("http", 0), 2).Take(5)
	fork := exporttest.NewChain(exporttest.Stream("http", 0), 2).Fork(3).Next()
	a, stream := string(all[0].Bytes()), all[0].Head()
	batch := func(s ...canon.SealedSlice) string {
		var b []byte
		for _, x := range s {
			b = ledger.AppendBatch(b, x)
		}
		return string(b)
	}
	type hdr = map[string]string
	for i, c := range []struct {
		method, path, body string
		header             hdr
		status             int
		want               string // in the body
	}{
		{"PUT", pathOf(all[0]), a, nil, 200, `{"ack":"ok","seq":"0","b3":"` + all[0].Digest().String() + `"}`},
		{"PUT", pathOf(all[0]), a, hdr{"Ron-B3": all[0].Digest().String()}, 200, `{"ack":"dup"`},
		{"PUT", pathOf(all[0]), a, hdr{"Ron-B3": all[1].Digest().String()}, 400, `"code":"schema"`},
		{"PUT", pathOf(all[1]), a, nil, 400, `"code":"schema"`},
		{"PUT", pathOf(all[2]), string(all[2].Bytes()), nil, 409, `"code":"gap","detail":`},
		{"PUT", pathOf(all[2]), string(all[2].Bytes()), nil, 409, `"expected_seq":"1","tip":{"seq":"0","b3":"` + all[0].Digest().String() + `"}`},
		{"PUT", pathOf(fork), string(fork.Bytes()), nil, 409, `"code":"conflict"`},
		{"PUT", pathOf(all[0]), a[:40], nil, 400, `offset`},
		{"PUT", pathOf(all[0]), a, hdr{"Content-Type": "application/json"}, 415, `"code":"type"`},
		{"PUT", pathOf(all[0]), a, hdr{"Content-Encoding": "gzip"}, 415, `"code":"type"`},
		{"PUT", pathOf(all[0]), strings.Repeat("x", 1<<20+1), nil, 413, `"code":"oversize"`},
		{"PUT", "/slices/x/y/z/0", a, nil, 400, `writer`},
		{"PUT", strings.ToUpper(pathOf(all[0])), a, nil, 404, `not_found`},
		{"DELETE", pathOf(all[0]), "", nil, 405, `"code":"method"`},
		{"GET", "/nowhere", "", nil, 404, `"code":"not_found"`},
		{"POST", "/slices", batch(all[0], all[1], all[3]), nil, 200, `{"results":[{"ack":"dup","seq":"0",`},
		{"POST", "/slices", batch(all[3]), nil, 200, `"error":{"type":"about:blank","title":"Conflict","status":409,"code":"gap"`},
		{"POST", "/slices", "\x03abc" + batch(all[2]), nil, 200, `"code":"schema"`},
		{"POST", "/slices", batch(all[0], all[1], all[2], all[3]), nil, 413, `3 items`},
		{"POST", "/slices", "", nil, 400, `empty`},
		{"POST", "/slices", "\x00", nil, 400, `length 0`},
		{"POST", "/slices", "\x81\x00a", nil, 400, `shortest`},
		{"POST", "/slices", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", nil, 413, `oversize`},
		{"POST", "/slices", "\x05ab", nil, 400, `are left`},
		{"POST", "/slices", strings.Repeat("x", 2<<20+1), nil, 413, `oversize`},
		{"GET", pathOf(all[1]), "", nil, 200, string(all[1].Bytes())},
		{"GET", pathOf(all[4]), "", nil, 404, `not_found`},
		{"GET", "/streams", "", nil, 200, `"dimension":"bytes","tip":{"seq":"2","b3":"` + all[2].Digest().String() + `"},"slices":"3","gaps":[]}`},
		{"GET", "/streams?tenant=" + canon.IDFromUint64(77).String(), "", nil, 200, "[]"},
		{"GET", "/streams?from=1", "", nil, 400, `unknown parameter`},
		{"GET", "/usage?group=tenant,window&from=1700000001&tenant=" + stream.Tenant.String(), "", nil, 200, `"window_end_s":"1700000003","units":"`},
		{"GET", "/usage?fron=", "", nil, 400, `unknown parameter`},
		{"GET", "/streams?from", "", nil, 400, `unknown parameter`},
		{"GET", "/usage?from=&group=", "", nil, 200, `"to":null`},
		{"GET", "/usage?to=0", "", nil, 400, `at least 1`},
		{"GET", "/usage?group=month", "", nil, 400, `group`},
		{"GET", "/usage?from=9&to=8", "", nil, 400, `from`},
		{"GET", "/usage?from=-1", "", nil, 400, `from`},
		{"GET", "/usage?from=1&from=2", "", nil, 400, `given 2 times`},
		{"GET", "/readyz", "", nil, 200, `true`},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", canon.MediaType)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%d: %s %s: got %d %.400s, want %d with %s", i, c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
		if w.Code >= 400 && w.Header().Get("Content-Type") != problem.MediaType {
			t.Errorf("%d: got type %q", i, w.Header().Get("Content-Type"))
		}
	}
}

func TestServer(t *testing.T) {
	l, _ := open(t, ledger.Options{})
	sock := filepath.Join(t.TempDir(), "s")
	s, err := ledger.Listen(l.Handler(ledger.HandlerOptions{}), ledger.ServerOptions{Addr: "127.0.0.1:0", UDS: sock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	tr := &http.Transport{}
	res, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 200 || !bytes.Contains(b, []byte("true")) {
		t.Errorf("got %d %s", res.StatusCode, b)
	}
	conn, err := net.Dial("unix", sock) // a client that reads only after it has sent all of a body that is too large
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", "/slices/"+strings.Repeat("0", 32)+"/"+strings.Repeat("0", 32)+"/bytes/0", canon.MediaType, 3<<20)
	if _, err := conn.Write(make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if res, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 413 {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	if _, err := ledger.Listen(nil, ledger.ServerOptions{UDS: sock}); err == nil {
		t.Error("a socket in use was taken over")
	}
	tr.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzBatch(f *testing.F) {
	l, _ := open(f, ledger.Options{})
	h := l.Handler(ledger.HandlerOptions{})
	f.Add(ledger.AppendBatch(nil, exporttest.NewChain(exporttest.Stream("fuzz", 0), 1).Next()))
	f.Add([]byte("\x81\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := httptest.NewRequest("POST", "/slices", bytes.NewReader(b))
		r.Header.Set("Content-Type", canon.MediaType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzQuery(f *testing.F) {
	l, _ := open(f, ledger.Options{})
	h := l.Handler(ledger.HandlerOptions{})
	f.Add("group=tenant,window&from=1&to=2&tenant=00000000000000000000000000000001")
	f.Fuzz(func(t *testing.T, q string) {
		r := httptest.NewRequest("GET", "/usage", nil)
		r.URL.RawQuery = q
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code != 200 && w.Code != 400 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
