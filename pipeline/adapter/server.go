package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// Server serves an adapter on TCP and a Unix socket, and its metrics on a listener of their own.
type Server struct {
	o       ServerOptions
	log     *slog.Logger
	main    *http.Server
	metrics *http.Server
	on      []serving
	addr    net.Addr
	metAddr net.Addr
}

type serving struct {
	srv *http.Server
	ln  net.Listener
}

// Listen binds the sockets; clients are answered from Serve on. gather is what GET /metrics shows.
func Listen(a *Adapter, gather prometheus.Gatherer, o ServerOptions) (_ *Server, err error) {
	o.setDefaults()
	if o.Addr == "" && o.UDS == "" {
		return nil, errors.New("accounting/adapter: server: got neither an address nor a socket's path")
	}
	if w := o.Timeouts.Write; a.o.OpDeadline >= w {
		return nil, fmt.Errorf("accounting/adapter: server: Timeouts.Write: got %v, want more than Options.OpDeadline, %v", w, a.o.OpDeadline)
	}
	s := &Server{o: o, log: a.o.Logger}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.main = s.server(problem.Heard(a, o.Timeouts.Write))
	if o.Addr != "" {
		if err := a.loopbackOnly(o.Addr); err != nil {
			return nil, err
		}
		ln, err := net.Listen("tcp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("accounting/adapter: server: %w", err)
		}
		s.addr = ln.Addr()
		ln = limit(ln, o.MaxConns)
		if c := tlsConfig(o.TLS); c != nil {
			ln = tls.NewListener(ln, c)
		}
		s.on = append(s.on, serving{s.main, ln})
	}
	if o.UDS != "" {
		mode := os.FileMode(0o600)
		if len(a.o.AllowUIDs) > 0 {
			mode = 0o666 // the allow-list is the guard
		}
		ln, err := listenUnix(o.UDS, mode)
		if err != nil {
			return nil, err
		}
		s.on = append(s.on, serving{s.main, limit(ln, o.MaxConns)})
	}
	if o.MetricsAddr != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(gather, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true, Timeout: o.Timeouts.Write}))
		s.metrics = s.server(mux)
		ln, err := net.Listen("tcp", o.MetricsAddr)
		if err != nil {
			return nil, fmt.Errorf("accounting/adapter: server: metrics: %w", err)
		}
		s.metAddr = ln.Addr()
		s.on = append(s.on, serving{s.metrics, limit(ln, 64)})
	}
	return s, nil
}

func (o *ServerOptions) setDefaults() {
	or := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	or(&o.Timeouts.Read, readTimeout)
	or(&o.Timeouts.Write, writeTimeout)
	or(&o.Timeouts.Idle, idleTimeout)
	or(&o.Shutdown, 5*time.Second)
	if o.MaxConns <= 0 {
		o.MaxConns = 4096
	}
}

func (s *Server) server(h http.Handler) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	t := s.o.Timeouts
	return &http.Server{Handler: h, ReadTimeout: t.Read, ReadHeaderTimeout: t.Read, WriteTimeout: t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes: 16 << 10, Protocols: p, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 128},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // hostile clients must not fill the log
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if l, ok := c.(*limitedConn); ok {
				c = l.Conn
			}
			return withPeer(ctx, peerOf(c))
		}}
}

// loopbackOnly refuses an address that others can reach where nobody is asked who he is.
func (a *Adapter) loopbackOnly(addr string) error {
	if !a.o.Insecure {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("accounting/adapter: server: %w", err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("accounting/adapter: server: %s: want a loopback address: without authentication only this host may come in", addr)
}

// Addr is the TCP address that is listened on; nil where there is none.
func (s *Server) Addr() net.Addr { return s.addr }

// MetricsAddr is that of the metrics; nil where there is none.
func (s *Server) MetricsAddr() net.Addr { return s.metAddr }

// Close ends the listeners of a Server whose Serve was not called.
func (s *Server) Close() {
	for _, o := range s.on {
		_ = o.ln.Close()
	}
}

// Serve answers until ctx ends or a listener fails. Then no new request is taken; those under way have Shutdown to finish, after which
// their connections are cut. It returns nil after an orderly end. Call it once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, len(s.on))
	for _, o := range s.on {
		go func() { failed <- o.srv.Serve(o.ln) }()
	}
	left := len(s.on)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
		err = fmt.Errorf("accounting/adapter: server: %w", err)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Shutdown)
	defer cancel()
	for _, srv := range []*http.Server{s.main, s.metrics} {
		if srv == nil {
			continue
		}
		if serr := srv.Shutdown(end); serr != nil {
			s.log.Warn("requests cut off at shutdown", "after", s.o.Shutdown, "err", serr)
			_ = srv.Close()
		}
	}
	for ; left > 0; left-- {
		<-failed // http.ErrServerClosed
	}
	return err
}
