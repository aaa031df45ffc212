package httpledger_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network disturbs the puts of a real ledger's handler.
type network struct {
	h     http.Handler
	fault atomic.Int32 // exporttest.Fault + 1
	gone  atomic.Pointer[chan struct{}]
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		n.h.ServeHTTP(w, r)
		return
	}
	switch exporttest.Fault(n.fault.Load() - 1) {
	case exporttest.LoseReply:
		n.h.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case exporttest.Slow:
		time.Sleep(300 * time.Millisecond)
	case exporttest.Hang:
		<-*n.gone.Load()
		panic(http.ErrAbortHandler)
	case exporttest.Unavailable:
		problem.Write(w, &problem.Problem{Code: problem.NotReady, RetryAfter: 3 * time.Second})
		return
	}
	n.h.ServeHTTP(w, r)
}

func TestConformance(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "unix"} {
		t.Run(kind, func(t *testing.T) {
			exporttest.Run(t, func(t *testing.T) *exporttest.Harness { return harness(t, kind) })
		})
	}
}

func harness(t *testing.T, kind string) *exporttest.Harness {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "l"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &network{h: l.Handler(ledger.HandlerOptions{})}
	srv := httptest.NewUnstartedServer(n)
	var o httpledger.Options
	address := ""
	switch kind {
	case "tls":
		srv.EnableHTTP2 = true
		srv.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
		address = srv.URL
	case "unix":
		path := filepath.Join(t.TempDir(), "s")
		_ = srv.Listener.Close()
		if srv.Listener, err = net.Listen("unix", path); err != nil {
			t.Fatal(err)
		}
		srv.Start()
		address = "unix://" + path
	default:
		srv.Start()
		address = srv.URL
	}
	var clients []*httpledger.Client
	connect := func() exporttest.Sink {
		c, err := httpledger.New(address, o)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		return c
	}
	t.Cleanup(func() {
		for _, c := range clients {
			_ = c.Close()
		}
		srv.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &exporttest.Harness{
		Sink:    connect(),
		Another: connect,
		Inject: func(f exporttest.Fault) func() {
			gone := make(chan struct{})
			n.gone.Store(&gone)
			n.fault.Store(int32(f) + 1)
			return func() { n.fault.Store(0); close(gone) }
		},
		Held: func(s export.Stream) (out []canon.SealedSlice) {
			for sl, err := range l.Slices(s, 0) {
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, sl)
			}
			return out
		},
		Unavailable: func(err error) bool {
			var e *export.RemoteError
			return errors.As(err, &e) && e.Status == 503 && e.RetryAfter == 3*time.Second
		},
	}
}

func TestGarbageIsNoAck(t *testing.T) {
	s := exporttest.NewChain(exporttest.Stream("garbage", 0), 1).Next()
	other := exporttest.NewChain(exporttest.Stream("garbage", 1), 1).Next().Digest().String()
	body := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	defer srv.Close()
	c, err := httpledger.New(srv.URL, httpledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, body = range []string{
		"", "nonsense", "{}", `{"results":[]}`, `{"results":[{}]}`, `{"results":[{"ack":"ok"}]}`, `{"results":[{"ack":"ok","seq":"0","b3":"` + other + `"}]}`,
		`{"results":[{"ack":"ok","seq":"1","b3":"` + s.Digest().String() + `"}]}`, `{"results":[{"ack":"fine","seq":"0","b3":"` + s.Digest().String() + `"}]}`,
		`{"results":[{"error":{"code":"gap"}}]}`, `{"results":[{"ack":"ok"},{"ack":"ok"}]}`, string(make([]byte, 1<<20)),
	} {
		ack, err := c.Put(context.Background(), s)
		var remote *export.RemoteError
		if ack != 0 || !errors.As(err, &remote) {
			t.Errorf("%.60q: got %v, %v, want a RemoteError", body, ack, err)
		}
		if _, _, ok, err := c.Tip(context.Background(), export.StreamOf(s.Head())); ok || err == nil {
			t.Errorf("tip %.60q: got %v, %v, want an error", body, ok, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, a := range []string{"", "localhost:1", "ftp://x", "http://", "unix://relative", "http://u:p@h", "http://h?q=1", "http://h:x", "nats://h"} {
		if _, err := httpledger.New(a, httpledger.Options{}); err == nil {
			t.Errorf("%q was taken", a)
		}
	}
	for _, a := range []string{"http://u:secret@h", "nats://u:secret@h", "http://u:secret@h:x"} {
		if _, err := httpledger.New(a, httpledger.Options{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", a, err)
		}
	}
	c, err := httpledger.New("http://127.0.0.1:1", httpledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Put(context.Background(), exporttest.NewChain(exporttest.Stream("nobody", 0), 1).Next())
	var remote *export.RemoteError
	if !errors.As(err, &remote) || remote.Status != 0 {
		t.Errorf("got %v, want a RemoteError of the network", err)
	}
}
