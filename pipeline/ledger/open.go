package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Options of a ledger; the zero value is a durable ledger of any size.
type Options struct {
	ReadOnly bool          // the file must exist; others may read it at the same time, nobody may write
	LockWait time.Duration // how long to wait for the file's lock; 0: 1 s; negative: not at all
	MaxBytes int64         // of the file; a put beyond it is ErrFull. 0: no bound. At least 1 MiB
	MapBytes int64         // address space to map beforehand, so that no commit waits for readers; 0: 256 GiB (1 GiB on 32 bit). No memory is used
	MaxTips  int           // tips kept in memory, about 300 bytes each; 0: 262144. The others are read from the file
}

func (o *Options) setDefaults() error {
	if o.LockWait == 0 {
		o.LockWait = time.Second
	}
	if o.MapBytes == 0 {
		o.MapBytes = 256 << 30
		if strconv.IntSize == 32 {
			o.MapBytes = 1 << 30
		}
	}
	if o.MaxTips == 0 {
		o.MaxTips = 1 << 18
	}
	var errs []error
	if o.MaxBytes != 0 && o.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("accounting/ledger: Options.MaxBytes: got %d, want 0 or at least %d", o.MaxBytes, 1<<20))
	}
	if o.MapBytes < 0 {
		errs = append(errs, fmt.Errorf("accounting/ledger: Options.MapBytes: got %d, want 0 or more", o.MapBytes))
	}
	if o.MaxTips < 1 {
		errs = append(errs, fmt.Errorf("accounting/ledger: Options.MaxTips: got %d, want 0 or more", o.MaxTips))
	}
	return errors.Join(errs...)
}

// Ledger is an open ledger file. It implements export.BatchExporter and export.Tipper. All methods are safe for
// concurrent use; puts that arrive together share one transaction and one fsync.
type Ledger struct {
	path string
	o    Options
	db   *bbolt.DB
	file *os.File // db's own; closed directly only where db can't be closed any more

	commitTx func(*bbolt.Tx) error // tests let it fail

	queueMu sync.Mutex
	queue   []*request
	leading bool           // a goroutine is committing; it exits when the queue is empty
	leader  sync.WaitGroup // that goroutine
	closed  bool

	mu     sync.RWMutex // guards what follows
	st     state        // as of the last commit
	tips   map[export.Stream]tip
	failed error // not nil: ErrFailed and its cause
	stuck  bool  // db's locks may be held for ever: see Close

	work builder // the leader's; reused
}

// Open opens the ledger at path and creates it where it does not exist. It fails with ErrNotLedger, ErrInUse, ErrVersion,
// ErrReadOnly (the file is not writable and ReadOnly was not asked for), ErrCorrupt, or the file system's error.
func Open(path string, o Options) (*Ledger, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	fresh, err := inspect(path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if !fresh { // look before a writer's open changes anything in what may be another program's database
		db, _, err := openBolt(path, o, true)
		if err != nil {
			return nil, err
		}
		err = guard(func() error { return db.View(func(tx *bbolt.Tx) error { return checkFormat(path, tx, !o.ReadOnly) }) })
		if cerr := guard(db.Close); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
	}
	l := &Ledger{path: path, o: o, tips: make(map[export.Stream]tip), commitTx: (*bbolt.Tx).Commit}
	if l.db, l.file, err = openBolt(path, o, o.ReadOnly); err != nil {
		return nil, err
	}
	if err := guard(l.start); err != nil {
		l.closeFile()
		return nil, err
	}
	l.work.init(l)
	if fresh {
		if err := syncDir(filepath.Dir(path)); err != nil {
			l.closeFile()
			return nil, err
		}
	}
	return l, nil
}

// start makes the buckets of a new file and reads the state.
func (l *Ledger) start() error {
	if !l.o.ReadOnly {
		err := l.db.Update(func(tx *bbolt.Tx) error {
			if k, _ := tx.Cursor().First(); k != nil {
				return errNothingToDo
			}
			for _, name := range [][]byte{bucketMeta, bucketStreams, bucketTips, bucketGaps, bucketLog} {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			m := tx.Bucket(bucketMeta)
			return errors.Join(m.Put(keyFormat, formatValue(formatVersion)), m.Put(keyState, state{}.encode()))
		})
		if err != nil && err != errNothingToDo {
			return fmt.Errorf("accounting/ledger: create %s: %w", l.path, err)
		}
	}
	return l.db.View(func(tx *bbolt.Tx) (err error) {
		if err = checkFormat(l.path, tx, false); err == nil {
			l.st, err = parseState(tx.Bucket(bucketMeta).Get(keyState), tx.Size())
		}
		return err
	})
}

var errNothingToDo = errors.New("nothing to do") // rolls an Update back

// checkFormat tells a ledger from other bbolt files, and its version. An empty database is a ledger whose creation was cut short.
func checkFormat(path string, tx *bbolt.Tx, mayBeEmpty bool) error {
	if k, _ := tx.Cursor().First(); k == nil {
		if mayBeEmpty {
			return nil
		}
		return fmt.Errorf("%w: %s: an empty database", ErrNotLedger, path)
	}
	var mark []byte
	if m := tx.Bucket(bucketMeta); m != nil {
		mark = m.Get(keyFormat)
	}
	v, ok := parseFormat(mark)
	if !ok {
		return fmt.Errorf("%w: %s: a bbolt database of another program", ErrNotLedger, path)
	}
	if v > formatVersion {
		return fmt.Errorf("%w: %s: got version %d, want at most %d", ErrVersion, path, v, formatVersion)
	}
	for _, name := range [][]byte{bucketStreams, bucketTips, bucketGaps, bucketLog} {
		if v == 0 || tx.Bucket(name) == nil {
			return &CorruptError{What: fmt.Sprintf("version %d, bucket %q: missing", v, name)}
		}
	}
	return nil
}

// inspect looks at the file before bbolt does, whose own message is "invalid database". fresh: it is to be created.
func inspect(path string, readOnly bool) (fresh bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !readOnly:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("accounting/ledger: %w", err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%w: %s: got %s, want a regular file", ErrNotLedger, path, info.Mode().Type())
	case info.Size() == 0 && !readOnly:
		return true, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("accounting/ledger: %w", err)
	}
	defer f.Close()
	// The magic number stands at byte 16 of each of the first two pages; either page may be damaged.
	const magic = 0xED0CDAED
	for _, page := range []int64{0, 4096, 8192, 16384, 65536} {
		var b [20]byte
		if _, err := f.ReadAt(b[:], page); err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("accounting/ledger: %w", err)
		}
		if binary.NativeEndian.Uint32(b[16:]) == magic {
			return false, nil
		}
	}
	return false, fmt.Errorf("%w: %s: %d bytes without the mark of one", ErrNotLedger, path, info.Size()) // it may be a file of keys: nothing of it is shown
}

func openBolt(path string, o Options, readOnly bool) (db *bbolt.DB, f *os.File, err error) {
	wait := max(o.LockWait, time.Millisecond)
	// bbolt tries once more than wait allows, and never waits for exactly 0: that would be for ever.
	bo := &bbolt.Options{Timeout: wait, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType, MaxSize: int(o.MaxBytes),
		OpenFile: func(p string, flag int, mode fs.FileMode) (*os.File, error) {
			f, err = os.OpenFile(p, flag, mode)
			return f, err
		}}
	for mapped := o.MapBytes; ; mapped /= 2 {
		bo.InitialMmapSize = int(min(mapped, int64(^uint(0)>>1)))
		if readOnly {
			bo.InitialMmapSize = 0
		}
		err = guard(func() (err error) {
			db, err = bbolt.Open(path, 0o600, bo)
			return err
		})
		switch {
		case err == nil:
			db.AllocSize = 32 << 20 // one truncate and fsync per so much growth
			if o.MaxBytes > 0 {
				db.AllocSize = int(min(32<<20, o.MaxBytes/16))
			}
			return db, f, nil
		case errors.Is(err, syscall.ENOMEM) && bo.InitialMmapSize > 1<<20: // no such address space: map less
			continue
		case errors.Is(err, berrors.ErrTimeout):
			return nil, nil, fmt.Errorf("%w: %s (waited %v for its lock)", ErrInUse, path, wait)
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			if !readOnly {
				return nil, nil, fmt.Errorf("%w: %w", ErrReadOnly, err)
			}
		case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
			return nil, nil, &CorruptError{What: path + ": neither of bbolt's two meta pages is whole", Err: err}
		case errors.Is(err, ErrCorrupt):
			if f != nil {
				_ = f.Close() // bbolt panicked half way and left it open, with its lock
			}
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("accounting/ledger: open %s: %w", path, err)
	}
}

// Path is the file's path as given to Open.
func (l *Ledger) Path() string { return l.path }

// Close waits for the commits under way and closes the file. Puts that have not begun fail with ErrClosed. Iterators must
// have ended. Close again returns nil.
func (l *Ledger) Close() error {
	l.queueMu.Lock()
	if l.closed {
		l.queueMu.Unlock()
		return nil
	}
	l.closed = true
	waiting := l.queue
	l.queue = nil
	l.queueMu.Unlock()
	for _, r := range waiting {
		r.fail(ErrClosed)
	}
	l.leader.Wait()
	return l.closeFile()
}

func (l *Ledger) closeFile() error {
	l.mu.RLock()
	stuck := l.stuck
	l.mu.RUnlock()
	if stuck { // a panic inside bbolt left its locks held: db.Close would wait for ever. The mapping stays until the process ends.
		return errors.Join(fmt.Errorf("%w: closed by its descriptor only", ErrFailed), l.file.Close())
	}
	if err := guard(l.db.Close); err != nil {
		return fmt.Errorf("accounting/ledger: close %s: %w", l.path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("accounting/ledger: %w", err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	// Some file systems can't sync a directory and say so; there the name is as durable as they make it.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("accounting/ledger: sync %s: %w", dir, err)
	}
	return nil
}
