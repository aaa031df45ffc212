package rig

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/redact"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
)

// httpSink exports to a ledger at http://…, https://… or unix://…, and reads back by a client of its own. A ledger that doesn't answer now is
// refused: nothing could be proved at the end.
func httpSink(ctx context.Context, address string) (*sink, error) {
	reader, base := ledgerReader(address)
	if err := answers(ctx, reader, base); err != nil {
		return nil, fmt.Errorf("sink %s: want a ledger that answers there (benchrig ledger serve): %w", redact.Addresses(address), err)
	}
	c, err := httpledger.New(address, httpledger.Options{})
	if err != nil {
		return nil, err
	}
	o := &owned{remote: c, seen: map[[16]byte]bool{}}
	return &sink{
		exporter: o,
		close:    c.Close,
		read: func(ctx context.Context, book *conserve.Book) error {
			defer reader.CloseIdleConnections()
			return book.ReadHTTP(ctx, reader, base, o.ours())
		},
	}, nil
}

// ledgerReader is a client of the ledger at address that shares nothing with the exporter's, and the address that it asks.
func ledgerReader(address string) (c *http.Client, base string) {
	c = &http.Client{Timeout: time.Minute}
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return c, strings.TrimRight(address, "/")
	}
	c.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	return c, "http://ledger"
}

// answers asks the ledger for its streams and reads none of them.
func answers(ctx context.Context, c *http.Client, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/streams", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /streams: %s", resp.Status)
	}
	return nil
}

// remote is a sink elsewhere.
type remote interface {
	export.BatchExporter
	export.Tipper
}

// owned keeps whose slices went through: in a ledger that others share, only those are ours to prove.
type owned struct {
	remote
	mu   sync.Mutex
	seen map[[16]byte]bool // writers
}

func (o *owned) note(slices ...canon.SealedSlice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range slices {
		o.seen[slices[i].Head().Writer] = true
	}
}

// Put notes the writer and passes the slice on.
func (o *owned) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	o.note(s)
	return o.remote.Put(ctx, s)
}

// PutBatch notes the writers and passes the batch on.
func (o *owned) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	o.note(slices...)
	return o.remote.PutBatch(ctx, slices)
}

func (o *owned) ours() func(conserve.Stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := maps.Clone(o.seen)
	return func(s conserve.Stream) bool { return seen[s.Writer] }
}
