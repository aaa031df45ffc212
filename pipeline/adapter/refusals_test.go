package adapter_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// random returns bytes that do not compress.
func random(n int) []byte {
	var out []byte
	for d := canon.Sum(nil); len(out) < n; d = canon.Sum(d[:]) {
		out = append(out, d[:]...)
	}
	return out[:n]
}

// Every refusal of the contract over a real socket: status, code, and the metrics that count it.
func TestRefusals(t *testing.T) {
	r := start(t, func(s *setup) { s.q.LaneCapacity = 2; s.q.MaxKeys = 3 })
	c := exporttest.NewChain(exporttest.Stream("refuse", 0), 4)
	all := c.Take(6)
	fork := exporttest.NewChain(c.Stream, 4)
	fork.Salt = 1
	other := fork.Take(1)[0]
	if a := r.post(all[0]); a.status != 202 {
		t.Fatal(a)
	}
	for r.q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	any := "Bearer " + r.token()
	secret := r.token("path=/export")
	tenant := c.Stream.Tenant.String()
	slice := string(all[1].Bytes())
	changed := []byte(slice)
	changed[len(changed)-1] ^= 1
	bomb := make([]byte, 4<<20)
	foreign, _ := token.ParseRing([]byte("test " + strings.Repeat("ab", 32)))
	forged, _ := foreign.Mint()
	row := `{"rows":[{"tenant":"` + tenant + `","dimension":"bytes","ns":1,"subject":"` + tenant + `","inc":"5"}]}`
	for i, k := range []struct {
		name, path, body string
		h                hdr
		status           int
		code, reason     string
	}{
		{"no token", "/export", slice, hdr{"Authorization": ""}, 401, "unauth", "unauth"},
		{"not a token", "/export", slice, hdr{"Authorization": "Bearer zzz"}, 401, "unauth", "unauth"},
		{"basic", "/export", slice, hdr{"Authorization": "Basic dTpw"}, 401, "unauth", "unauth"},
		{"other key", "/export", slice, hdr{"Authorization": "Bearer " + forged}, 401, "unauth", "unauth"},
		{"expired", "/export", slice, hdr{"Authorization": "Bearer " + r.token("exp=2001-01-01T00:00:00Z")}, 401, "unauth", "unauth"},
		{"other path", "/export", slice, hdr{"Authorization": "Bearer " + r.token("path=/record")}, 403, "forbidden", "unauth"},
		{"other audience", "/export", slice, hdr{"Authorization": "Bearer " + r.token("aud=core")}, 403, "forbidden", "unauth"},
		{"other tenant", "/export", slice, hdr{"Authorization": "Bearer " + r.token("tenant=000000000000000000000000000000ff")}, 403, "forbidden", "unauth"},
		{"other dimension", "/export", slice, hdr{"Authorization": "Bearer " + r.token("dimension=gpu")}, 403, "forbidden", "unauth"},
		{"media type", "/export", slice, hdr{"Content-Type": "text/plain"}, 415, "type", ""},
		{"no media type", "/export", slice, hdr{"Content-Type": ""}, 415, "type", ""},
		{"coding", "/export", slice, hdr{"Content-Encoding": "br"}, 415, "type", ""},
		{"empty", "/export", "", nil, 400, "schema", ""},
		{"garbage", "/export", "garbage", nil, 400, "schema", ""},
		{"trailing byte", "/export", slice + "x", nil, 400, "schema", ""},
		{"digest header", "/export", slice, hdr{"Ron-B3": all[2].Digest().String()}, 400, "schema", ""},
		{"changed byte", "/export", string(changed), hdr{"Ron-B3": all[1].Digest().String()}, 400, "schema", ""},
		{"gap", "/export", string(all[3].Bytes()), nil, 409, "gap", ""},
		{"conflict", "/export", string(other.Bytes()), nil, 409, "conflict", ""},
		{"oversize", "/export", string(make([]byte, canon.MaxBytes+1)), nil, 413, "oversize", "oversize"},
		{"oversize, length unknown", "/export", string(make([]byte, canon.MaxBytes+1)), hdr{"-length": ""}, 413, "oversize", "oversize"},
		{"gzip bomb", "/export", string(gz(bomb)), hdr{"Content-Encoding": "gzip"}, 413, "oversize", "ratio_cap"},
		{"zstd bomb", "/export", string(zst(bomb)), hdr{"Content-Encoding": "zstd"}, 413, "oversize", "decompress_cap"},
		{"zstd ratio", "/export", string(zst(bomb[:900<<10])), hdr{"Content-Encoding": "zstd"}, 413, "oversize", "ratio_cap"},
		{"gzip beyond 1 MiB", "/export", string(gz(append(random(300<<10), bytes.Repeat(random(1000), 900)...))), hdr{"Content-Encoding": "gzip"}, 413, "oversize", "decompress_cap"},
		{"gzip damaged", "/export", string(gz(random(1000))[:500]), hdr{"Content-Encoding": "gzip"}, 400, "schema", ""},
		{"gzip and more", "/export", string(append(gz([]byte(slice)), 1)), hdr{"Content-Encoding": "gzip"}, 400, "schema", ""},
		{"not gzip", "/export", slice, hdr{"Content-Encoding": "gzip"}, 400, "schema", ""},
		{"not zstd", "/export", slice, hdr{"Content-Encoding": "zstd"}, 400, "schema", ""},
		{"no key", "/record", row, hdr{"Content-Type": "application/json"}, 400, "schema", ""},
		{"not JSON", "/record", "{", hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"not CBOR", "/record", "{", hdr{"Content-Type": "application/cbor", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"no rows", "/record", `{"rows":[]}`, hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"unknown member", "/record", `{"rows":[{"colour":1}]}`, hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"two documents", "/record", row + row, hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"inc a number", "/record", strings.Replace(row, `"5"`, `5`, 1), hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"inc too large", "/record", strings.Replace(row, `"5"`, `"18446744073709551616"`, 1), hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"dimension", "/record", strings.Replace(row, "bytes", "gpu", 1), hdr{"Content-Type": "application/json", "Idempotency-Key": "k"}, 400, "schema", ""},
		{"record, other tenant", "/record", row, hdr{"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": "Bearer " + r.token("tenant=000000000000000000000000000000ff")}, 403, "forbidden", "unauth"},
		{"other resource", "/nothing", "", nil, 404, "not_found", ""},
	} {
		h := hdr{"Content-Type": canon.MediaType, "Authorization": any}
		for name, v := range k.h {
			h[name] = v
		}
		route := k.path
		if k.status == 404 {
			route = "other"
		}
		before, reject, auth := r.requests(route, k.code), r.rejected(k.reason), testutil.ToFloat64(r.metrics.AuthFail)
		a := r.do(r.http, "POST", r.base+k.path, []byte(k.body), h)
		if a.status != k.status || a.code != k.code || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %s: got %d %q %s %s, want %d %q", i, k.name, a.status, a.code, a.header.Get("Content-Type"), a.body, k.status, k.code)
		}
		noSecret(t, a, strings.TrimPrefix(h["Authorization"], "Bearer "), secret, "garbage", "colour")
		if got := r.requests(route, k.code) - before; got != 1 {
			t.Errorf("%s: accounting_adapter_requests_total{code=%q} rose by %v, want 1", k.name, k.code, got)
		}
		if k.reason != "" && r.rejected(k.reason)-reject != 1 {
			t.Errorf("%s: rejected_total{reason=%q} rose by %v, want 1", k.name, k.reason, r.rejected(k.reason)-reject)
		}
		want := 0.0
		if k.status == 401 || k.status == 403 {
			want = 1
		}
		if got := testutil.ToFloat64(r.metrics.AuthFail) - auth; got != want {
			t.Errorf("%s: auth_failures_total rose by %v, want %v", k.name, got, want)
		}
	}
	gap := r.post(all[3])
	if !strings.Contains(gap.body, `"expected_seq":"1","tip":{"seq":"0","b3":"`+all[0].Digest().String()+`"}`) {
		t.Errorf("a gap does not name the tip: %s", gap.body)
	}
	if a := r.do(r.http, "GET", r.base+"/export", nil, nil); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Error(a)
	}

	// What needs a sink that does not answer.
	r.sink.set(true)
	for _, s := range all[1:3] {
		if a := r.post(s); a.status != 202 {
			t.Fatal(a)
		}
	}
	before := r.rejected("order_overflow")
	if a := r.post(all[3]); a.status != 422 || a.code != "order_overflow" || r.rejected("order_overflow") != before+1 {
		t.Error(a)
	}
	unknown := exporttest.NewChain(exporttest.Stream("unknown", 0), 1)
	if a := r.post(unknown.Next()); a.status != 503 || a.code != "not_ready" || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, `"detail":"`+ingress.ErrTipUnknown.Error()+`"`) {
		t.Error(a) // without the cause, which names the sink
	}
	// A recorder that is full, and idempotency keys that are used up or used for something else.
	many := strings.Repeat(strings.TrimSuffix(strings.TrimPrefix(row, `{"rows":[`), `]}`)+",", 5)
	for i := range 5 {
		many = strings.Replace(many, `"subject":"`+tenant, `"subject":"`+strings.Repeat("0", 31)+string(rune('3'+i)), 1)
	}
	rec := func(key, body string) answer {
		return r.do(r.http, "POST", r.base+"/record", []byte(body), hdr{"Content-Type": "application/json", "Idempotency-Key": key, "Authorization": any})
	}
	if a := rec("a", `{"rows":[`+strings.TrimSuffix(many, ",")+`]}`); a.status != 429 || a.code != "busy" || a.header.Get("Retry-After") == "" || r.counts.total() != 0 {
		t.Errorf("%+v, counted %d", a, r.counts.total())
	}
	r.counts.most = 100
	if a := rec("a", row); a.status != 200 {
		t.Error(a)
	}
	if a := rec("a", strings.Replace(row, `"5"`, `"6"`, 1)); a.status != 409 || a.code != "conflict" {
		t.Error(a)
	}
	rec("b", row)
	rec("c", row)
	before = r.rejected("busy")
	if a := rec("d", row); a.status != 429 || a.code != "busy" || r.rejected("busy") != before+1 {
		t.Error(a)
	}
}

func TestStagingIsFull(t *testing.T) {
	r := start(t, func(s *setup) { s.q.MaxSlices = 2; s.q.TenantShare = 1 })
	c := exporttest.NewChain(exporttest.Stream("full", 0), 1)
	if a := r.post(c.Next()); a.status != 202 {
		t.Fatal(a)
	}
	for r.q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	r.sink.set(true)
	r.post(c.Next())
	r.post(c.Next())
	if a := r.post(c.Next()); a.status != 503 || a.code != "not_ready" || a.header.Get("Retry-After") != "5" || r.rejected("wal_full") != 1 {
		t.Errorf("%+v", a)
	}
	if a := r.do(r.http, "GET", r.base+"/readyz", nil, nil); a.status != 503 || !strings.HasPrefix(a.body, `{"degraded":true,"missing":["queues_bounded_ok"`) || !strings.Contains(a.body, `"retry_after":15`) || a.header.Get("Retry-After") != "15" {
		t.Error(a)
	}
}

// One principal that holds its half of the bodies in flight does not keep another one out.
func TestFairness(t *testing.T) {
	r := start(t, func(s *setup) {
		s.o.MaxInflightBytes, s.o.MaxInflight = 4<<20, 6
	})
	greedy, modest := r.token("tenant=00000000000000000000000000000001"), r.token("tenant=00000000000000000000000000000004")
	for range 2 { // two bodies of 1 MiB that don't come
		conn := dial(t, r.srv.Addr().String())
		defer conn.Close()
		send(t, conn, "POST /export HTTP/1.1\r\nHost: x\r\nContent-Type: "+canon.MediaType+"\r\nAuthorization: Bearer "+greedy+"\r\nContent-Length: 1048576\r\n\r\nx")
	}
	for r.metric("accounting_adapter_inflight_bytes", nil) < 2<<20 {
		time.Sleep(time.Millisecond)
	}
	c := exporttest.NewChain(exporttest.Stream("fair", 0), 1)
	a := r.do(r.http, "POST", r.base+"/export", c.Next().Bytes(), hdr{"Content-Type": canon.MediaType, "Authorization": "Bearer " + greedy})
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("the greedy one: %+v", a)
	}
	c = exporttest.NewChain(exporttest.Stream("fair", 9), 1)
	if a := r.do(r.http, "POST", r.base+"/export", c.Next().Bytes(), hdr{"Content-Type": canon.MediaType, "Authorization": "Bearer " + modest}); a.status != 202 {
		t.Errorf("the modest one: %+v", a)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := adapter.New(adapter.Options{MaxInflight: 1, MaxRows: -1, OpDeadline: 1})
	for _, f := range []string{"Queue", "Tokens", "MaxInflight", "MaxRows", "OpDeadline"} {
		if err == nil || !strings.Contains(err.Error(), "Options."+f) {
			t.Errorf("%v does not name %s", err, f)
		}
	}
	r := start(t, nil)
	if _, err := adapter.Listen(r.a, r.reg, adapter.ServerOptions{Addr: "127.0.0.1:0", Timeouts: adapter.Timeouts{Write: time.Second}}); err == nil || !strings.Contains(err.Error(), "Timeouts.Write") {
		t.Errorf("less time to write an answer than to make it: got %v", err)
	}
}
