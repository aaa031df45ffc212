package ledger

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Tip implements export.Tipper: the last slice that the ledger holds durably of a stream.
func (l *Ledger) Tip(ctx context.Context, s export.Stream) (seq uint64, d canon.Digest, ok bool, err error) {
	if ctx.Err() != nil {
		return 0, d, false, interrupted(ctx, "tip")
	}
	if err := l.health(); err != nil { // what is seen after a failed sync may not be on the disk
		return 0, d, false, err
	}
	var t tip
	err = l.view(func(tx *bbolt.Tx) (err error) {
		t, ok, err = l.lookup(tx, s)
		return err
	})
	return t.seq, t.digest, ok, err
}

// view runs f in a read transaction, under guard.
func (l *Ledger) view(f func(*bbolt.Tx) error) error {
	l.queueMu.Lock()
	closed := l.closed
	l.queueMu.Unlock()
	if closed {
		return ErrClosed
	}
	return guard(func() error { return l.db.View(f) })
}

// lookup returns a stream's tip from memory or from the file, as of the last commit.
func (l *Ledger) lookup(tx *bbolt.Tx, s export.Stream) (t tip, ok bool, err error) {
	l.mu.RLock()
	t, ok = l.tips[s]
	l.mu.RUnlock()
	if ok {
		return t, true, nil
	}
	v := tx.Bucket(bucketStreams).Get(streamKey(s))
	if v == nil {
		return t, false, nil
	}
	t, err = readTip(tx, v)
	return t, err == nil, err
}

// readTip reads the tip of the stream whose entry in bucketStreams is v.
func readTip(tx *bbolt.Tx, v []byte) (t tip, err error) {
	if len(v) != 8 || be.Uint64(v) == 0 {
		return t, &CorruptError{What: fmt.Sprintf("streams: number %x", v)}
	}
	number := be.Uint64(v)
	key, slot := tipBlock(number)
	block := tx.Bucket(bucketTips).Get(key[:])
	if len(block) != tipsPerBlock*tipSize {
		return t, &CorruptError{What: fmt.Sprintf("tips %x: %d bytes, want %d", key, len(block), tipsPerBlock*tipSize)}
	}
	if t = getTip(block[slot*tipSize:], number); t.count == 0 {
		return t, &CorruptError{What: fmt.Sprintf("tip of stream %d: empty", number)}
	}
	return t, nil
}

// remember keeps a committed tip in memory; l.mu is held for writing. Where there are too many, some go: the file has them.
func (l *Ledger) remember(s export.Stream, t tip) {
	if _, ok := l.tips[s]; !ok && len(l.tips) >= l.o.MaxTips {
		n := 0
		for old := range l.tips { // in no order, which is as good as any for streams that come back each window
			delete(l.tips, old)
			if n++; n > l.o.MaxTips/16 {
				break
			}
		}
	}
	l.tips[s] = t
}
