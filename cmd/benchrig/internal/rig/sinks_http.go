package rig

import (
	"context"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
)

// httpSink exports to a ledger at http://…, https://… or unix://…, and reads back by a client of its own.
func httpSink(address string) (*sink, error) {
	c, err := httpledger.New(address, httpledger.Options{})
	if err != nil {
		return nil, err
	}
	o := &owned{remote: c, seen: map[[16]byte]bool{}}
	return &sink{
		exporter: o,
		close:    c.Close,
		read: func(ctx context.Context, book *conserve.Book) error {
			reader := &http.Client{Timeout: time.Minute}
			if socket, ok := strings.CutPrefix(address, "unix://"); ok {
				address = "http://ledger"
				reader.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "unix", socket)
				}}
			}
			defer reader.CloseIdleConnections()
			return book.ReadHTTP(ctx, reader, strings.TrimRight(address, "/"), o.ours())
		},
	}, nil
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
