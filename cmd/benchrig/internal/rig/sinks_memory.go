package rig

import (
	"context"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

// memorySink keeps every slice's bytes, so that they can be read back.
func memorySink() *sink {
	m := memory.New(memory.Options{Keep: true})
	return &sink{
		exporter: m,
		close:    func() error { return nil },
		read: func(_ context.Context, book *conserve.Book) error {
			for _, stream := range m.Streams() {
				for s, err := range m.Slices(stream) {
					if err != nil {
						return err
					}
					if err := book.Add(s.Bytes()); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}
