//go:build linux && (amd64 || arm64) && !race && !purego

package accounting_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// BenchmarkRecordMacronode is Record and Counter.Add with neither, with a WAL, and with a WAL and mapped counters: recording must not notice them.
func BenchmarkRecordMacronode(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "accounting-bench-")
	if err != nil {
		b.Skipf("no tmpfs: %v", err)
	}
	defer os.RemoveAll(dir)
	for _, c := range []struct {
		name       string
		wal, files bool
	}{{"heap", false, false}, {"wal", true, false}, {"wal+file", true, true}} {
		o := accounting.Options{CapacityRows: 10_000, Sinks: []accounting.Sink{{Name: "memory", Exporter: memory.New(memory.Options{})}}}
		if c.wal {
			o.Profile, o.WAL = accounting.Macronode, &wal.Options{Dir: filepath.Join(dir, c.name)}
		}
		if c.files {
			o.CounterFile = filepath.Join(dir, "counters")
		}
		rec, err := accounting.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		key := accounting.Key{Tenant: accounting.IDFromUint64(1), Subject: accounting.IDFromUint64(2)}
		counter, err := rec.Counter(key)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("record/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = rec.Record(key, 1)
			}
		})
		b.Run("add/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				counter.Add(1)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err = rec.Close(ctx)
		cancel()
		if err != nil {
			b.Fatal(err)
		}
	}
}
