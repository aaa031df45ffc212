package adapter

import (
	"bytes"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
)

// FuzzBatch: a batch that waits to be counted is read back as it was written, under other numbers of its dimensions too; damage is an error.
func FuzzBatch(f *testing.F) {
	dims, later := []string{"bytes", "requests"}, []string{"requests", "bytes"}
	b := batch{[]pipeline.Key{{Tenant: canon.ID{1}, Subject: canon.ID{2}, Namespace: 3, Dimension: 1}, {Tenant: canon.ID{4}}}, []uint64{5, 1<<64 - 1}}
	f.Add(b.append(nil, dims))
	f.Add(b.append(nil, dims)[1:])
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := parseBatch(p, dims)
		if err != nil {
			return
		}
		if again := got.append(nil, dims); !bytes.Equal(again, p) {
			t.Errorf("got %x, want %x", again, p)
		}
		moved, err := parseBatch(p, later)
		if err != nil {
			t.Fatal(err)
		}
		for i := range moved.keys {
			if moved.keys[i].Dimension != 1-got.keys[i].Dimension || moved.incs[i] != got.incs[i] {
				t.Errorf("row %d: got %+v, want %+v with the other number", i, moved.keys[i], got.keys[i])
			}
		}
	})
}
