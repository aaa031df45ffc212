package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// broker starts a nats-server in this process. Its max_payload has room for a whole slice and headers.
func broker(t testing.TB, edit func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		MaxPayload: 2 << 20, SyncAlways: true}
	if edit != nil {
		edit(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// proxy stands between an exporter and the broker.
type proxy struct {
	ln     net.Listener
	target string
	mu     sync.Mutex
	conns  []net.Conn
	fault  exporttest.Fault
	on     bool
}

func newProxy(t testing.TB, target string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", target)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, s)
			p.mu.Unlock()
			go p.copy(s, c, false)
			go p.copy(c, s, true)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); p.cut() })
	return p
}

func (p *proxy) copy(dst, src net.Conn, answers bool) {
	defer dst.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := src.Read(b)
		p.mu.Lock()
		on, fault := p.on, p.fault
		p.mu.Unlock()
		switch {
		case on && (fault == exporttest.Hang || fault == exporttest.LoseReply && answers):
			n = 0
		case on && fault == exporttest.Slow && answers:
			time.Sleep(300 * time.Millisecond)
		}
		if _, werr := dst.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *proxy) set(on bool, f exporttest.Fault) {
	p.mu.Lock()
	p.on, p.fault = on, f
	p.mu.Unlock()
}

func (p *proxy) cut() {
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
}

const month = "202311" // of exporttest's windows

func TestConformance(t *testing.T) {
	exporttest.Run(t, func(t *testing.T) *exporttest.Harness {
		srv := broker(t, nil)
		p := newProxy(t, srv.Addr().String())
		var all []*jetstream.Exporter
		connect := func() exporttest.Sink {
			e, err := jetstream.Connect(context.Background(), "nats://"+p.ln.Addr().String(), jetstream.Options{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
			t.Cleanup(func() { _ = e.Close() })
			return e
		}
		admin := dial(t, srv)
		return &exporttest.Harness{
			Sink:    connect(),
			Another: connect,
			Inject: func(f exporttest.Fault) func() {
				if f == exporttest.Unavailable {
					limit(t, admin, 1)
					return func() { limit(t, admin, -1) }
				}
				before, _ := all[0].Reconnects()
				p.set(true, f)
				return func() {
					p.set(false, f)
					if f == exporttest.Slow {
						return
					}
					p.cut()
					for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
						if n, up := all[0].Reconnects(); up && n > before {
							return
						}
					}
					t.Error("the exporter did not connect again")
				}
			},
			Held: func(s export.Stream) []canon.SealedSlice { return held(t, admin, s) },
		}
	})
}

func dial(t testing.TB, srv *server.Server) js.JetStream {
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	j, err := js.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func limit(t testing.TB, j js.JetStream, bytes int64) {
	for n := range j.StreamNames(context.Background()).Name() {
		s, err := j.Stream(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		c.MaxBytes = bytes
		if _, err := j.UpdateStream(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// held reads a chain's messages one after another.
func held(t testing.TB, j js.JetStream, s export.Stream) (out []canon.SealedSlice) {
	part := month + jetstream.Partition(s)
	st, err := j.Stream(context.Background(), "RON_"+part)
	if errors.Is(err, js.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	subject := "u." + s.Writer.String() + "." + s.Tenant.String() + "." + s.Dimension + "." + part
	for next := uint64(1); ; {
		m, err := st.GetMsg(context.Background(), next, js.WithGetMsgSubject(subject))
		if errors.Is(err, js.ErrMsgNotFound) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		sl, err := canon.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		out, next = append(out, sl), m.Sequence+1
	}
}

func TestMonths(t *testing.T) {
	srv := broker(t, nil)
	e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := exporttest.NewChain(exporttest.Stream("months", 0), 2)
	c.Start, c.Window = 1_700_000_000/86400*86400, 86400
	all := c.Take(60) // over two borders
	for i, r := range e.PutBatch(context.Background(), all) {
		if r.Ack != export.AckOK {
			t.Fatal(i, r)
		}
	}
	again, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for i, r := range again.PutBatch(context.Background(), append(all, c.Next())) {
		if want := export.AckDuplicate; i < 60 && r.Ack != want || i == 60 && r.Ack != export.AckOK {
			t.Fatal(i, r)
		}
	}
	n := 0
	for range dial(t, srv).StreamNames(context.Background()).Name() {
		n++
	}
	if n != 3 {
		t.Errorf("one chain over two borders lies in %d streams, want 3", n)
	}
	follow(t, srv.ClientURL(), 61)
}

// follow reads everything into a fresh ledger, twice.
func follow(t testing.TB, url string, want uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "l")
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		st, err := jetstream.Follow(ctx, url, jetstream.Options{}, l, jetstream.FollowOptions{Once: true})
		cancel()
		if err != nil || st.Read != want {
			t.Fatalf("follow: %+v, %v, want %d read", st, err, want)
		}
	}
	if got := l.Totals().Slices; got != want {
		t.Errorf("the ledger holds %d slices, want %d", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := ledger.Verify(context.Background(), path); err != nil || len(rep.Breaks) > 0 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

func TestRefusesUnsafeBrokers(t *testing.T) {
	small := broker(t, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	if _, err := jetstream.Connect(context.Background(), small.ClientURL(), jetstream.Options{}); !errors.Is(err, jetstream.ErrMaxPayload) {
		t.Errorf("got %v, want ErrMaxPayload", err)
	}
	srv := broker(t, nil)
	j := dial(t, srv)
	if _, err := j.CreateStream(context.Background(), js.StreamConfig{Name: "RON_" + month + "-0", Subjects: []string{"u.*.*.*." + month + "-0"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{}); !errors.Is(err, jetstream.ErrUnsafeStream) {
		t.Errorf("got %v, want ErrUnsafeStream", err)
	}
	if _, err := jetstream.Connect(context.Background(), "nats://127.0.0.1:1", jetstream.Options{}); err == nil {
		t.Error("connected to nobody")
	}
	without := broker(t, func(o *server.Options) { o.JetStream = false })
	if _, err := jetstream.Connect(context.Background(), without.ClientURL(), jetstream.Options{Timeout: time.Second}); err == nil {
		t.Error("connected to a server without JetStream")
	}
	later, err := jetstream.Connect(context.Background(), without.ClientURL(), jetstream.Options{Timeout: time.Second, Later: true})
	if err != nil {
		t.Fatalf("a server whose JetStream may come later: %v", err)
	}
	defer later.Close()
	if _, _, _, err := later.Tip(context.Background(), exporttest.Stream("later", 0)); err == nil {
		t.Error("a tip without JetStream")
	}
}

// TestBrokerComesLater: a service may start before its broker. Nothing is put until the broker was found safe.
func TestBrokerComesLater(t *testing.T) {
	port := freePort(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	e, err := jetstream.Connect(context.Background(), url, jetstream.Options{Later: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	limited, err := jetstream.ConnectURL(context.Background(), url, jetstream.Options{Later: true, MaxSliceBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer limited.Close()
	if n := limited.MaxSliceBytes(); n != 1000 {
		t.Errorf("before a broker's word: got slices of %d bytes, want the 1000 that it must take", n)
	}
	c := exporttest.NewChain(exporttest.Stream("later", 0), 2)
	s := c.Next()
	var remote *export.RemoteError
	if _, err := e.Put(context.Background(), s); !errors.As(err, &remote) || remote.Op != "handshake" {
		t.Errorf("put without a broker: got %v, want a RemoteError of the handshake", err)
	}
	if _, _, _, err := e.Tip(context.Background(), export.StreamOf(s.Head())); !errors.As(err, &remote) {
		t.Errorf("tip without a broker: got %v, want a RemoteError", err)
	}
	small := broker(t, func(o *server.Options) { o.Port, o.MaxPayload = port, 1<<20 })
	eventually(t, func() bool { _, err := e.Put(context.Background(), s); return errors.Is(err, jetstream.ErrMaxPayload) })
	small.Shutdown()
	small.WaitForShutdown()
	broker(t, func(o *server.Options) { o.Port = port })
	eventually(t, func() bool { a, _ := e.Put(context.Background(), s); return a == export.AckOK })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in 20 s")
		}
	}
}

var _ io.Closer = (*jetstream.Exporter)(nil)

// TestPartitionsSpread: chains whose names are counted up lie evenly in the month's streams.
func TestPartitionsSpread(t *testing.T) {
	n := map[string]int{}
	for i := range 4000 {
		n[jetstream.Partition(export.Stream{Writer: canon.IDFromUint64(1), Tenant: canon.IDFromUint64(uint64(i / 3)), Dimension: []string{"bytes", "requests", "cpu"}[i%3]})]++
	}
	for p, c := range n {
		if c < 800 || c > 1200 || len(n) != 4 {
			t.Errorf("partition %s has %d of 4000 chains: %v", p, c, n)
		}
	}
}

// TestAuthFailure: wrong credentials are a clear error at once, and the right ones do.
func TestAuthFailure(t *testing.T) {
	srv := broker(t, func(o *server.Options) { o.Username, o.Password = "writer", "secret" })
	for _, o := range [][]nats.Option{nil, {nats.UserInfo("writer", "wrong")}} {
		_, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{NATS: o})
		if !errors.Is(err, nats.ErrAuthorization) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("got %v, want an authorization error that echoes no password", err)
		}
	}
	e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{NATS: []nats.Option{nats.UserInfo("writer", "secret")}})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
}
