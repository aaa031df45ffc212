package rig

import (
	"context"
	"strings"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
)

// mostSlice is more than a slice of 4,096 rows can take, and less than a broker's usual max_payload of 1 MiB.
const mostSlice = 512 << 10

// natsSink exports to JetStream at nats://… and reads the messages back by a connection of its own.
func natsSink(ctx context.Context, url string) (*sink, error) {
	e, err := jetstream.ConnectURL(ctx, url, jetstream.Options{MaxSliceBytes: mostSlice})
	if err != nil {
		return nil, err
	}
	o := &owned{remote: e, seen: map[[16]byte]bool{}}
	return &sink{
		exporter: o,
		close:    func() error { e.Close(); return nil },
		read: func(ctx context.Context, book *conserve.Book) error {
			servers, _, _ := strings.Cut(url, "?")
			return book.ReadNATS(ctx, servers, o.ours())
		},
	}, nil
}
