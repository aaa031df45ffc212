package conserve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ledgerHeader is what stands before each slice in the embedded ledger's records; its first four bytes are the slice's length.
const ledgerHeader = 128

// ReadLedgerFile enters every slice of an embedded ledger's file, read as a plain bbolt file: bucket "log", in it a bucket
// a chunk, in that the value "r", records one after another. The ledger must be closed.
func (b *Book) ReadLedgerFile(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("ledger %s: in use by another process", path)
	case err != nil:
		return fmt.Errorf("ledger %s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		log := tx.Bucket([]byte("log"))
		if log == nil {
			return fmt.Errorf("ledger %s: no bucket \"log\": not a ledger file", path)
		}
		return log.ForEachBucket(func(k []byte) error {
			if err := b.chunk(log.Bucket(k).Get([]byte("r"))); err != nil {
				return fmt.Errorf("ledger %s, chunk %x: %w", path, k, err)
			}
			return nil
		})
	})
}

func (b *Book) chunk(records []byte) error {
	for off := 0; off < len(records); {
		rest := records[off:]
		if len(rest) < ledgerHeader {
			return fmt.Errorf("offset %d: %d bytes left, want a record's header", off, len(rest))
		}
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-ledgerHeader {
			return fmt.Errorf("offset %d: a slice of %d bytes, %d left", off, n, len(rest)-ledgerHeader)
		}
		if err := b.Add(rest[ledgerHeader : ledgerHeader+n]); err != nil {
			return fmt.Errorf("offset %d: %w", off, err)
		}
		off += ledgerHeader + n
	}
	return nil
}
