package ingress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

var (
	bucketSlices = []byte("slices")
	bucketAcked  = []byte("acked")
	bucketKeys   = []byte("keys")
	bucketMeta   = []byte("meta")

	metaVersion = []byte("version")
	version     = []byte{1}
)

// errFullDisk: the disk has no room; nothing was changed.
var errFullDisk = errors.New("no room on the disk")

// fileName is the staging file within Options.Dir.
const fileName = "ingress.db"

// lockWait is how long openBolt waits for another owner of the file to go.
const lockWait = time.Second

var be = binary.BigEndian

// bolt is the store in a bbolt file.
type bolt struct{ db *bbolt.DB }

func openBolt(dir string) (_ *bolt, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("accounting/ingress: %w", err)
	}
	path := filepath.Join(dir, fileName)
	b := &bolt{}
	err = guard(func() error {
		b.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		return b.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{bucketSlices, bucketAcked, bucketKeys, bucketMeta} {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			meta := tx.Bucket(bucketMeta)
			if v := meta.Get(metaVersion); v == nil {
				return meta.Put(metaVersion, version)
			} else if !bytes.Equal(v, version) {
				return fmt.Errorf("format version %d, want %d", v, version)
			}
			return nil
		})
	})
	if err != nil {
		if b.db != nil {
			_ = b.db.Close()
		}
		if errors.Is(err, berrors.ErrTimeout) {
			err = fmt.Errorf("%w (waited %v for its lock)", ErrInUse, lockWait)
		}
		return nil, fmt.Errorf("accounting/ingress: %s: %w", path, err)
	}
	return b, nil
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

func (b *bolt) close() error { return guard(b.db.Close) }

func key(n uint64) []byte { return be.AppendUint64(nil, n) }

func (b *bolt) commit(c *change) error {
	err := guard(func() error {
		return b.db.Update(func(tx *bbolt.Tx) error {
			s := tx.Bucket(bucketSlices)
			s.FillPercent = 1 // keys ascend
			for i := range c.put {
				p := &c.put[i]
				v := append(append(make([]byte, 0, len(p.digest)+len(p.bytes)), p.digest[:]...), p.bytes...)
				if err := s.Put(key(p.n), v); err != nil {
					return err
				}
			}
			slices.Sort(c.del)
			for _, n := range c.del {
				if err := s.Delete(key(n)); err != nil {
					return err
				}
			}
			a := tx.Bucket(bucketAcked)
			a.FillPercent = 1
			for i := range c.acked {
				if err := a.Put(key(c.acked[i].n), c.acked[i].v.append(nil)); err != nil {
					return err
				}
			}
			k := tx.Bucket(bucketKeys)
			k.FillPercent = 1
			for i := range c.keys {
				if err := k.Put(key(c.keys[i].n), c.keys[i].v.append(nil)); err != nil {
					return err
				}
			}
			if err := trim(a, c.forget[0]); err != nil {
				return err
			}
			return trim(k, c.forget[1])
		})
	})
	var path *os.PathError
	if errors.As(err, &path) && path.Op == "write" && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fmt.Errorf("%w: %w", errFullDisk, err)
	}
	return err
}

// trim deletes the entries below n.
func trim(b *bbolt.Bucket, n uint64) error {
	var old [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && be.Uint64(k) < n; k, _ = c.Next() {
		old = append(old, k)
	}
	for _, k := range old {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (b *bolt) load(n uint64) (out []byte, err error) {
	err = guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			v := tx.Bucket(bucketSlices).Get(key(n))
			if len(v) < 32 {
				return fmt.Errorf("%w: staged slice %d: got %d bytes, want more than 32", ErrCorrupt, n, len(v))
			}
			out = bytes.Clone(v[32:])
			return nil
		})
	})
	return out, err
}

func (b *bolt) replay(slice func(uint64, canon.Digest, []byte) error, acked func(uint64, ackedSlice) error, keys func(uint64, keyRecord) error) error {
	return guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			err := each(tx, bucketAcked, func(n uint64, v []byte) error {
				a, err := parseAcked(v)
				if err != nil {
					return err
				}
				return acked(n, a)
			})
			if err != nil {
				return err
			}
			err = each(tx, bucketKeys, func(n uint64, v []byte) error {
				k, err := parseKey(v)
				if err != nil {
					return err
				}
				return keys(n, k)
			})
			if err != nil {
				return err
			}
			return each(tx, bucketSlices, func(n uint64, v []byte) error {
				if len(v) < 32 {
					return fmt.Errorf("%w: %d bytes, want more than 32", ErrCorrupt, len(v))
				}
				return slice(n, canon.Digest(v[:32]), v[32:])
			})
		})
	})
}

func each(tx *bbolt.Tx, bucket []byte, f func(uint64, []byte) error) error {
	return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("%w: %s: a key of %d bytes, want 8", ErrCorrupt, bucket, len(k))
		}
		if err := f(be.Uint64(k), v); err != nil {
			return fmt.Errorf("%s %d: %w", bucket, be.Uint64(k), err)
		}
		return nil
	})
}

// An acked slice's record: digest, writer, tenant, seq, window start and end, sealed_at, then the dimension.
const ackedFixed = 32 + 16 + 16 + 4*8

func (a *ackedSlice) append(b []byte) []byte {
	b = append(append(append(b, a.digest[:]...), a.stream.Writer[:]...), a.stream.Tenant[:]...)
	for _, v := range []uint64{a.seq, a.windowStart, a.windowEnd, a.at} {
		b = be.AppendUint64(b, v)
	}
	return append(b, a.stream.Dimension...)
}

func parseAcked(v []byte) (a ackedSlice, err error) {
	if len(v) <= ackedFixed || !canon.ValidName(string(v[ackedFixed:])) {
		return a, fmt.Errorf("%w: acked slice: %d bytes, or no dimension at the end", ErrCorrupt, len(v))
	}
	a.digest = canon.Digest(v[:32])
	a.stream = export.Stream{Writer: canon.ID(v[32:48]), Tenant: canon.ID(v[48:64]), Dimension: string(v[ackedFixed:])}
	a.seq, a.windowStart, a.windowEnd, a.at = be.Uint64(v[64:]), be.Uint64(v[72:]), be.Uint64(v[80:]), be.Uint64(v[88:])
	return a, nil
}

func (k *keyRecord) append(b []byte) []byte {
	b = append(append(b, k.key[:]...), k.batch[:]...)
	return be.AppendUint64(b, uint64(k.at.Unix()))
}

func parseKey(v []byte) (k keyRecord, err error) {
	if len(v) != 72 {
		return k, fmt.Errorf("%w: idempotency key: %d bytes, want 72", ErrCorrupt, len(v))
	}
	k.key, k.batch, k.at = canon.Digest(v[:32]), canon.Digest(v[32:64]), time.Unix(int64(be.Uint64(v[64:])), 0)
	return k, nil
}
