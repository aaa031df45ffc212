package car

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Options of an archive. Open copies them.
type Options struct {
	Dir          string        // made with 0700 where absent
	MaxFileBytes int64         // of one file, 1 GiB; 2 MiB at least
	Monthly      bool          // a new file with the first slice of each month
	LockWait     time.Duration // for another process to let go of Dir; 0: none
	FS           vfs.FS        // nil: the operating system's
	Logger       *slog.Logger  // nil: silent
}

var (
	// ErrClosed: the archive is closed.
	ErrClosed = errors.New("accounting/car: closed")
	// ErrDamaged: the chains in the archive are broken.
	ErrDamaged = errors.New("accounting/car: damaged")
)

// Recovered says what Open found.
type Recovered struct {
	Files, Streams, Slices int
	Duplicates             int   // slices that stand twice, after a failed sync
	TornBytes              int64 // cut off the ends of files
	DamagedBytes           int64 // moved to *.damaged
}

// Archive implements export.BatchExporter and export.Tipper. Safe for concurrent use.
type Archive struct {
	o    Options
	lock io.Closer
	sync func(vfs.File) error
	reqs chan *request
	quit chan struct{} // closed by Close
	done chan struct{} // closed when the writer is gone

	closing   sync.Once
	recovered Recovered

	mu      sync.Mutex // guards the streams' acked fields
	streams map[export.Stream]*stream

	w writer // the writer goroutine's
}

// stream is one chain. chain and held are the writer's; what is acked is read by Tip, under mu.
type stream struct {
	chain canon.Chain
	held  []held

	ok     bool
	seq    uint64
	digest canon.Digest
}

// Open locks the directory, reads what is there and starts the writer.
func Open(o Options) (*Archive, error) {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 1 << 30
	}
	if o.Dir == "" || o.MaxFileBytes < 2<<20 {
		return nil, fmt.Errorf("accounting/car: Options: got Dir %q, MaxFileBytes %d, want a directory and at least 2 MiB", o.Dir, o.MaxFileBytes)
	}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("accounting/car: %w", err)
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, "LOCK"), o.LockWait)
	if err != nil {
		return nil, fmt.Errorf("accounting/car: %s: %w", o.Dir, err)
	}
	a := &Archive{o: o, lock: lock, sync: vfs.File.Datasync, reqs: make(chan *request), quit: make(chan struct{}), done: make(chan struct{}),
		streams: make(map[export.Stream]*stream)}
	if err := a.recover(); err != nil {
		a.w.drop()
		return nil, errors.Join(err, lock.Close())
	}
	go a.run()
	return a, nil
}

// Recovered returns what Open found.
func (a *Archive) Recovered() Recovered { return a.recovered }

// Close waits for the group being written, closes the file and lets go of the directory.
func (a *Archive) Close() (err error) {
	a.closing.Do(func() {
		close(a.quit)
		<-a.done
		if a.w.file != nil {
			err = a.w.file.Close()
		}
		err = errors.Join(err, a.lock.Close())
	})
	return err
}

// Put archives one slice; see PutBatch.
func (a *Archive) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := a.PutBatch(ctx, []canon.SealedSlice{s})
	return r[0].Ack, r[0].Err
}

// PutBatch archives slices and returns when they are durable. Where ctx ends first their outcome is unknown (ErrTimeout after a deadline).
func (a *Archive) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	r := &request{items: make([]item, len(slices)), answer: make(chan []export.Result, 1)}
	size := 0
	for _, s := range slices {
		size += SizeSection(s)
	}
	r.buf = make([]byte, 0, size)
	for i, s := range slices {
		at := len(r.buf)
		r.buf = AppendSection(r.buf, s)
		section := r.buf[at:len(r.buf):len(r.buf)]
		// The writer may outlive this call: it works on its own copy of the bytes, which the value must not outlive either.
		v, err := canon.ViewSummed(section[len(section)-len(s.Bytes()):], s.Digest())
		r.items[i] = item{slice: v, section: section, err: err}
	}
	if err := ctx.Err(); err != nil {
		return all(len(slices), ended(ctx))
	}
	select {
	case a.reqs <- r:
	case <-ctx.Done():
		return all(len(slices), ended(ctx))
	case <-a.quit:
		return all(len(slices), ErrClosed)
	}
	select {
	case out := <-r.answer:
		return out
	case <-ctx.Done():
		return all(len(slices), ended(ctx))
	}
}

// Tip returns the last durable slice of a stream.
func (a *Archive) Tip(ctx context.Context, name export.Stream) (seq uint64, d canon.Digest, ok bool, err error) {
	if ctx.Err() != nil {
		return 0, d, false, ended(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.streams[name]; s != nil {
		return s.seq, s.digest, s.ok, nil
	}
	return 0, d, false, nil
}

// ended tells a deadline, which is ErrTimeout, from a cancel.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: car: %w", export.ErrTimeout, ctx.Err())
	}
	return fmt.Errorf("accounting/car: %w", ctx.Err())
}

func all(n int, err error) []export.Result {
	out := make([]export.Result, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

// recover reads all files, in order.
func (a *Archive) recover() error {
	numbers, err := list(a.o.FS, a.o.Dir)
	if err != nil {
		return fmt.Errorf("accounting/car: %w", err)
	}
	for _, n := range numbers {
		a.w.number = n
		if err := a.recoverFile(filepath.Join(a.o.Dir, fileName(n))); err != nil {
			return err
		}
	}
	for _, s := range a.streams {
		s.seq, s.digest, s.ok = s.chain.Tip()
	}
	a.recovered.Streams = len(a.streams)
	return nil
}

func (a *Archive) recoverFile(name string) (err error) {
	f, err := a.o.FS.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("accounting/car: %w", err)
	}
	a.w.drop()
	a.recovered.Files++
	a.w.file, a.w.size, a.w.month = f, 0, 0
	good, err := walk(f, func(at int64, s canon.SealedSlice) error {
		if a.w.month == 0 {
			a.w.month = monthOf(s.Head().WindowStartS)
		}
		_, res := a.judge(s)
		switch {
		case res.Err != nil:
			return fmt.Errorf("%w: %w", ErrDamaged, res.Err)
		case res.Ack == export.AckDuplicate:
			a.recovered.Duplicates++
		default:
			a.recovered.Slices++
		}
		return nil
	})
	a.w.size = good
	if errors.Is(err, errTorn) {
		if hidden, rerr := holdsSlice(f, good); rerr != nil {
			return fmt.Errorf("accounting/car: %s: %w", name, rerr)
		} else if hidden {
			err = fmt.Errorf("%w: got a length beyond the end, with whole slices behind it", ErrFormat)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("%s: %w", name, err)
	case errors.Is(err, errTorn):
		size, _ := f.Size()
		a.recovered.TornBytes += size - good
		a.o.Logger.Warn("archive: torn end cut off", "file", name, "bytes", size-good)
	case errors.Is(err, ErrFormat):
		size, _ := f.Size()
		if err := a.keep(name, good, size); err != nil {
			return fmt.Errorf("accounting/car: %w", err)
		}
		a.recovered.DamagedBytes += size - good
		a.o.Logger.Error("archive: damage moved aside", "file", name, "offset", good, "bytes", size-good, "err", err)
	default:
		return fmt.Errorf("accounting/car: %s: %w", name, err)
	}
	if err := errors.Join(f.Truncate(good), f.Sync()); err != nil {
		return fmt.Errorf("accounting/car: %s: %w", name, err)
	}
	if good == 0 { // not even a header: the next slice begins it anew
		a.w.drop()
		a.w.number--
		if err := a.o.FS.Remove(name); err != nil {
			return fmt.Errorf("accounting/car: %w", err)
		}
	}
	return nil
}

// keep copies what is behind the good part to name.damaged, name.damaged.1, …
func (a *Archive) keep(name string, good, size int64) error {
	from, err := a.o.FS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	aside := name + ".damaged"
	to, err := vfs.Create(a.o.FS, aside, 0o600)
	for n := 1; errors.Is(err, fs.ErrExist); n++ { // an earlier damage stands there
		to, err = vfs.Create(a.o.FS, aside+"."+strconv.Itoa(n), 0o600)
	}
	if err != nil {
		return err
	}
	buf := make([]byte, min(size-good, 1<<20))
	for at := good; at < size && err == nil; {
		var n int
		n, err = from.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if n > 0 && (err == nil || err == io.EOF) {
			_, err = to.WriteAt(buf[:n], at-good)
		}
		at += int64(n)
	}
	return errors.Join(err, to.Sync(), to.Close(), a.o.FS.SyncDir(a.o.Dir))
}
