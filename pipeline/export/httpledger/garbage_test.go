package httpledger_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
)

func serve(t *testing.T, h http.HandlerFunc) *httpledger.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c, err := httpledger.New(srv.URL, httpledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		srv.CloseClientConnections()
		srv.Close()
	})
	return c
}

// A tip that can't be one must not be taken for "the ledger holds nothing", which would read as a ledger that has lost all.
func TestGarbageIsNoTip(t *testing.T) {
	body := ""
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	s := exporttest.Stream("tip", 0)
	place := `{"writer":"` + s.Writer.String() + `","tenant":"` + s.Tenant.String() + `","dimension":"` + s.Dimension + `","tip":`
	d := exporttest.NewChain(s, 1).Next().Digest().String()
	for _, body = range []string{
		"null", " null\n", "{}", "[null]", "[[]]", "[" + place + `{}}]`, "[" + place + `{"seq":"9223372036854775808","b3":"` + d + `"}}]`,
		"[" + place + `{"seq":"18446744073709551615","b3":"` + d + `"}}]`, "[" + place + `{"seq":"-1","b3":"` + d + `"}}]`,
		"[" + place + `{"seq":"0","b3":"b3:00"}}]`,
	} {
		seq, _, ok, err := c.Tip(context.Background(), s)
		var remote *export.RemoteError
		if ok || !errors.As(err, &remote) {
			t.Errorf("%s: got seq %d, %v, %v, want a RemoteError", body, seq, ok, err)
		}
	}
	body = "[]\n"
	if _, _, ok, err := c.Tip(context.Background(), s); ok || err != nil {
		t.Errorf("no stream: got %v, %v", ok, err)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	value := ""
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(503)
	})
	s := exporttest.NewChain(exporttest.Stream("retry", 0), 1).Next()
	for _, x := range []struct {
		value       string
		least, most time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second}, {" 7 ", 7 * time.Second, 7 * time.Second}, {"", 0, 0}, {"0", 0, 0}, {"-5", 0, 0}, {"1.5", 0, 0}, {"soon", 0, 0},
		{"4000000000", time.Hour, time.Hour}, {"99999999999999999999999999", time.Hour, time.Hour},
		{time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 50 * time.Second, time.Minute},
		{time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), 0, 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", time.Hour, time.Hour},
	} {
		value = x.value
		_, err := c.Put(context.Background(), s)
		var remote *export.RemoteError
		if !errors.As(err, &remote) || remote.Status != 503 || remote.RetryAfter < x.least || remote.RetryAfter > x.most {
			t.Errorf("%q: got %v, %+v, want %v to %v", x.value, err, remote, x.least, x.most)
		}
	}
}

// What is no ledger at all answers: redirects are not followed, nothing is held or waited for beyond the deadline.
func TestNoLedgerAtAll(t *testing.T) {
	s := exporttest.NewChain(exporttest.Stream("none", 0), 1).Next()
	endless := func(size int, pause time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, size)
			for i := range b {
				b[i] = '['
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(b); err != nil {
					return
				}
				if pause > 0 {
					w.(http.Flusher).Flush()
					time.Sleep(pause)
				}
			}
		}
	}
	for name, x := range map[string]struct {
		h       http.HandlerFunc
		timeout bool
		status  int
	}{
		"redirect": {h: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, status: 307},
		"unauth":     {h: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, status: 401},
		"no content": {h: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, status: 204},
		"endless":    {h: endless(4096, 0)},
		"trickle":    {h: endless(1, 20*time.Millisecond), timeout: true},
		"silent":     {h: func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, timeout: true},
		"deep": {h: func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, 4000)
			for i := range b {
				b[i] = '['
			}
			_, _ = w.Write(b)
		}, status: 502},
		"web page": {h: func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>hello") }, status: 502},
		"cut": {h: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); x.h(w, r) })
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			ack, err := c.Put(ctx, s)
			var remote *export.RemoteError
			switch {
			case ack != 0 || err == nil:
				t.Errorf("got %v, %v", ack, err)
			case x.timeout && !errors.Is(err, export.ErrTimeout), !x.timeout && (!errors.As(err, &remote) || remote.Status != x.status):
				t.Errorf("got %v, want timeout %v, status %d", err, x.timeout, x.status)
			}
		})
	}
}
