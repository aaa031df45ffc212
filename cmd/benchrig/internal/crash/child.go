package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/chaos"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// Child is one life of the recorder.
type Child struct {
	Dir      string // ledger and oracle
	WAL      string
	Counters string        // ""; counters on the heap
	Every    time.Duration // between checkpoints of the counters; 0: none
	Seed     uint64
	DieAt    int  // the call to the file system that ends it; 0: none
	Finish   bool // record nothing, drain, and end
	Log      bool // the recorder's log to the standard error
}

const producers = 2

// Ready is what a child prints once it has recovered, and behind it the units that it found open.
const Ready = "recovered"

// spec is W4's load with fewer keys, so that many lives fit into a minute.
func spec() workload.Spec {
	s, err := workload.ByName("w4")
	if err != nil {
		panic(err) // a constant
	}
	s.Tenants, s.Keys = 40, 25
	return s
}

// faults are what stands between the recorder and its ledger.
const faults = "5xx=0.05,tail=0.05:1ms-20ms,lost=0.05,disconnect=0.02,dup=0.02"

// Run lives until it is killed, or to the end of Finish.
func (c *Child) Run(ctx context.Context, out io.Writer) error {
	runtime.GOMAXPROCS(1 + int(c.Seed%4)) // each life has another number of columns
	book, err := ledger.Open(filepath.Join(c.Dir, "ledger.db"), ledger.Options{})
	if err != nil {
		return err
	}
	defer book.Close()
	var sink export.Exporter = book
	if !c.Finish {
		f, err := chaos.Parse(faults)
		if err != nil {
			return err
		}
		sink = chaos.New(book, f, c.Seed)
	}
	fsys := vfs.OS
	if c.DieAt > 0 {
		fsys = newMortalFS(c.DieAt)
	}
	s := spec()
	o := accounting.Options{
		Profile: accounting.Macronode, Window: time.Second, AllowShortWindow: true,
		CapacityRows: 2 * s.Total(), MaxStreams: s.Streams(), MaxRowsPerSlice: 16,
		Sinks:       []accounting.Sink{{Name: "ledger", Exporter: sink, Required: true}},
		WAL:         &wal.Options{Dir: c.WAL, MaxBytes: 64 << 20, SegmentBytes: 256 << 10, LockWait: 5 * time.Second, FS: fsys},
		CounterFile: c.Counters, CheckpointInterval: c.Every,
		Backoff: accounting.BackoffOptions{Base: 2 * time.Millisecond, Cap: 20 * time.Millisecond},
	}
	if c.Log {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	rec, err := accounting.Open(o)
	if err != nil {
		return err
	}
	open := uint64(0)
	for _, u := range rec.Stats().Units {
		open += u.Open
	}
	fmt.Fprintln(out, Ready, open)
	if c.Finish {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return errors.Join(rec.Flush(ctx), rec.Close(ctx))
	}
	return c.record(ctx, rec, s)
}

// record counts and seals until the end.
func (c *Child) record(ctx context.Context, rec *accounting.Recorder, s workload.Spec) error {
	o, err := openOracle(oraclePath(c.Dir), producers, s.Total())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() { c.produce(ctx, rec, o, p) })
	}
	random := rand.New(rand.NewPCG(c.Seed, 1))
	rest := 20 * time.Millisecond
	if c.Every > 0 && c.Seed%2 == 0 { // a seal makes the checkpoint before it stale: half of the lives have few
		rest = 4 * c.Every
	}
	var seen []uint64
	for ctx.Err() == nil {
		time.Sleep(time.Duration(random.IntN(int(rest))))
		seen = o.snapshot(seen)
		if _, err := rec.SealNow(ctx); err == nil {
			o.seal(seen)
		}
	}
	wg.Wait()
	return errors.New("crash: nobody has killed this child for a minute")
}

// produce counts on random keys, as fast as a core lets it with short rests.
func (c *Child) produce(ctx context.Context, rec *accounting.Recorder, o *oracle, producer int) {
	keys := workload.NewGenerator(spec(), 0, 1)
	random := rand.New(rand.NewPCG(c.Seed, uint64(producer)+2))
	for n := 0; ctx.Err() == nil; n++ {
		i := uint32(random.IntN(o.keys))
		inc := 1 + random.Uint64N(1000)
		o.add(producer, began, i, inc)
		if err := rec.Record(keys.Key(i), inc); err != nil {
			o.add(producer, began, i, -inc)
			continue
		}
		o.add(producer, returned, i, inc)
		if n%256 == 255 {
			time.Sleep(100 * time.Microsecond)
		}
	}
}

func oraclePath(dir string) string { return filepath.Join(dir, "oracle") }
