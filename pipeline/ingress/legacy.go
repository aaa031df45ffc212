package ingress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Earlier versions staged in a bbolt file. Open moves what it holds into a log, under another name until all of it is there, and then removes it:
// killed at any point, the next Open begins again or finds the work done.

// legacyFile was the staging file within Options.Dir.
const legacyFile = "ingress.db"

func moveLegacy(o *Options) error {
	path, dir := filepath.Join(o.Dir, legacyFile), filepath.Join(o.Dir, stagedDir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		tmp := dir + ".tmp"
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		n, err := fillFrom(o, path, tmp)
		if err == nil {
			err = os.Rename(tmp, dir)
		}
		if err == nil {
			err = syncDir(o.Dir)
		}
		if err != nil {
			return fmt.Errorf("%s: moving what an earlier version staged to %s: %w", path, dir, err)
		}
		o.Logger.Info("what an earlier version staged was moved", "from", path, "to", dir, "slices", n)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(o.Dir)
}

// fillFrom makes a log of what the file holds.
func fillFrom(o *Options, path, dir string) (slices int, err error) {
	var db *bbolt.DB
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return 0, fmt.Errorf("%w (waited %v for its lock)", ErrInUse, lockWait)
	case err != nil:
		return 0, err
	}
	defer func() { err = errors.Join(err, guard(db.Close)) }()
	st, err := openLog(o, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	var c change
	bytes := 0
	flush := func(force bool) error {
		if !force && bytes < groupBytes && len(c.acked)+len(c.keys) < groupAcks || c.empty() {
			return nil
		}
		err := st.commit(&c)
		c, bytes = change{}, 0
		return err
	}
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if v := tx.Bucket([]byte("meta")); v == nil || string(v.Get([]byte("version"))) != "\x01" {
				return fmt.Errorf("%w: it is no staging file of version 1", ErrCorrupt)
			}
			err := each(tx, "acked", func(v []byte) error {
				if len(v) <= ackedFixed-1 {
					return fmt.Errorf("%w: acked slice: got %d bytes", ErrCorrupt, len(v))
				}
				a, err := ackedOf(v, v[ackedFixed-1:])
				if err != nil {
					return err
				}
				c.acked = append(c.acked, a)
				return flush(false)
			})
			if err != nil {
				return err
			}
			err = each(tx, "keys", func(v []byte) error {
				k, rest, err := parseKey(v)
				if err != nil || len(rest) > 0 {
					return fmt.Errorf("%w: idempotency key: got %d bytes, want %d", ErrCorrupt, len(v), keySize)
				}
				c.keys = append(c.keys, k)
				return flush(false)
			})
			if err != nil {
				return err
			}
			err = each(tx, "slices", func(v []byte) error {
				if len(v) < 32 {
					return fmt.Errorf("%w: staged slice: got %d bytes, want more than 32", ErrCorrupt, len(v))
				}
				s, err := canon.View(v[32:])
				if err == nil && s.Digest() != canon.Digest(v[:32]) {
					err = fmt.Errorf("digest: got %v, want %v", s.Digest(), canon.Digest(v[:32]))
				}
				if err != nil {
					return fmt.Errorf("%w: %w", ErrCorrupt, err)
				}
				h := s.Head()
				e := &entry{s: &stream{name: export.StreamOf(h)}, slice: s, digest: s.Digest(), size: int64(len(s.Bytes()))}
				e.acked = ackedSlice{e.s.name, h.Seq, e.digest, h.WindowStartS, h.WindowEndS, h.SealedAtMS}
				c.put = append(c.put, e)
				bytes += len(v)
				slices++
				return flush(false)
			})
			if err != nil {
				return err
			}
			return flush(true)
		})
	})
	return slices, err
}

// each calls f with every value of a bucket, in the order in which they came.
func each(tx *bbolt.Tx, bucket string, f func(v []byte) error) error {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return fmt.Errorf("%w: no %s", ErrCorrupt, bucket)
	}
	return b.ForEach(func(k, v []byte) error {
		if err := f(v); err != nil {
			return fmt.Errorf("%s %x: %w", bucket, k, err)
		}
		return nil
	})
}

// guard turns what bbolt does on damaged pages (a panic, or a fault of the mapped file) into ErrCorrupt.
func guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the file's pages lead astray: %v", ErrCorrupt, r)
		}
	}()
	return f()
}
