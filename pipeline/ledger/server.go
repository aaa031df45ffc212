package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// The server's timeouts.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	idleTimeout  = 60 * time.Second
)

// ServerOptions say where a server listens; at least one of Addr and UDS.
type ServerOptions struct {
	Addr     string        // host:port of TCP; port 0: any free one
	UDS      string        // path of a Unix socket, mode 0600; a stale one is replaced
	TLS      *tls.Config   // for TCP; nil: none
	Shutdown time.Duration // how long requests under way may take after the context ends; 0: 5 s
	Logger   *slog.Logger  // nil: slog.Default()
}

// Server serves one handler over HTTP/1.1 and HTTP/2, on TCP and a Unix socket at once, with the timeouts of the
// contract: 5 s to read a request, 5 s to write an answer, 60 s idle.
type Server struct {
	o         ServerOptions
	srv       *http.Server
	listeners []net.Listener
	addr      net.Addr
}

// Listen binds the sockets, so that clients can connect; they are answered from Serve on.
func Listen(h http.Handler, o ServerOptions) (*Server, error) {
	if o.Addr == "" && o.UDS == "" {
		return nil, errors.New("accounting/ledger: server: got neither an address nor a socket's path")
	}
	if o.Shutdown <= 0 {
		o.Shutdown = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	s := &Server{o: o, srv: &http.Server{Handler: problem.Heard(h, writeTimeout), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 16 << 10, Protocols: p, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)}}
	if o.Addr != "" {
		ln, err := net.Listen("tcp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("accounting/ledger: server: %w", err)
		}
		s.addr = ln.Addr()
		if o.TLS != nil {
			c := o.TLS.Clone()
			if len(c.NextProtos) == 0 {
				c.NextProtos = []string{"h2", "http/1.1"}
			}
			ln = tls.NewListener(ln, c)
		}
		s.listeners = append(s.listeners, ln)
	}
	if o.UDS != "" {
		ln, err := listenUnix(o.UDS)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.listeners = append(s.listeners, ln)
	}
	return s, nil
}

// listenUnix replaces a socket that nobody answers on, and nothing else.
func listenUnix(path string) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("accounting/ledger: server: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("accounting/ledger: server: %s: got %s, want a socket or nothing", path, info.Mode().Type())
	default:
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("accounting/ledger: server: %s: %w: another process listens there", path, syscall.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("accounting/ledger: server: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("accounting/ledger: server: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("accounting/ledger: server: %w", err)
	}
	return ln, nil
}

// Addr is the TCP address that is listened on; nil where there is none.
func (s *Server) Addr() net.Addr { return s.addr }

// Close ends the listeners of a Server whose Serve was not called.
func (s *Server) Close() {
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
}

// Serve answers until the context ends or a listener fails. Then no new request is taken; those under way have Shutdown
// to finish, after which their connections are cut. It returns nil after an orderly end. Call it once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	for _, ln := range s.listeners {
		go func() { failed <- s.srv.Serve(ln) }()
	}
	var err error
	left := len(s.listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
		err = fmt.Errorf("accounting/ledger: server: %w", err)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Shutdown)
	defer cancel()
	if serr := s.srv.Shutdown(end); serr != nil {
		s.o.Logger.Warn("requests cut off at shutdown", "after", s.o.Shutdown, "err", serr)
		_ = s.srv.Close()
	}
	for ; left > 0; left-- {
		<-failed // http.ErrServerClosed
	}
	return err
}
