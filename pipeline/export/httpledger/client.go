// Package httpledger exports to a ledger over HTTP: TCP, TLS or a Unix socket, in batches. It believes an ack only where
// the ledger names the seq and the digest that were sent; any other answer is an error that is tried again.
package httpledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Options of a client; zero fields have the default.
type Options struct {
	TLS            *tls.Config   // for https; nil: the system's roots, TLS 1.2 or newer
	DialTimeout    time.Duration // 5 s
	MaxBatchBytes  int           // of one request; 16 MiB. A larger batch becomes several requests, in order
	MaxBatchSlices int           // of one request; 8192
}

// Client is an exporter to one ledger. It implements export.BatchExporter and export.Tipper, keeps its connections, and is
// safe for concurrent use. Close it when no call is under way.
type Client struct {
	base string // without a slash at the end
	o    Options
	http *http.Client
	tr   *http.Transport
}

// New returns a client of the ledger at an address: http://host:port, https://host:port, or unix:///path/of/socket. It does not connect.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		var ue *url.Error // names the whole address, which may hold a password
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("accounting/httpledger: address: %w", err)
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = 16 << 20
	}
	if o.MaxBatchSlices <= 0 {
		o.MaxBatchSlices = 8192
	}
	d := &net.Dialer{Timeout: o.DialTimeout}
	c := &Client{o: o, tr: &http.Transport{DialContext: d.DialContext, TLSClientConfig: o.TLS.Clone(), TLSHandshakeTimeout: o.DialTimeout,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10}}
	switch {
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("accounting/httpledger: address %q: want no user, query or fragment", u.Redacted())
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		c.base = strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/")
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		path := u.Path
		c.base = "http://ledger"
		c.tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }
	default:
		return nil, fmt.Errorf("accounting/httpledger: address: got %q, want http://host:port, https://host:port or unix:///path", u.Redacted())
	}
	c.http = &http.Client{Transport: c.tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Close closes the idle connections.
func (c *Client) Close() error {
	c.tr.CloseIdleConnections()
	return nil
}

// do sends one request and returns the body of its answer, of at most limit bytes. The error is classified.
func (c *Client) do(ctx context.Context, op, method, path string, body io.Reader, limit int64) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, nil, fmt.Errorf("accounting/httpledger: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", canon.MediaType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, failure(ctx, op, 0, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("answer longer than %d bytes", limit)
	}
	if err != nil {
		return nil, nil, failure(ctx, op, 0, err)
	}
	return res, b, nil
}

// failure classifies an operation that got no answer, or none that can be believed.
func failure(ctx context.Context, op string, status int, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("accounting/httpledger: %s: %w", op, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("%w: httpledger: %s: %w", export.ErrTimeout, op, ctx.Err())
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: httpledger: %s: %w", export.ErrTimeout, op, err)
	}
	return &export.RemoteError{Op: op, Status: status, Err: err}
}

// retryAfter reads the header of that name in seconds or as a date; at most an hour.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, min(time.Until(t), time.Hour))
	}
	return 0
}
