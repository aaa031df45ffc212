package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Iterators read in short transactions and hand out copies, so that a slow consumer holds nothing up.
const (
	stepBytes  = 1 << 20
	stepPlaces = 1 << 16
)

// Slice returns one slice, which owns its bytes, or ErrNotFound. It is decoded and hashed anew.
func (l *Ledger) Slice(ctx context.Context, s export.Stream, seq uint64) (out canon.SealedSlice, err error) {
	if ctx.Err() != nil {
		return out, interrupted(ctx, "read")
	}
	err = l.view(func(tx *bbolt.Tx) error {
		t, ok, err := l.lookup(tx, s)
		if err != nil {
			return err
		}
		if ok {
			r := reader{log: tx.Bucket(bucketLog)}
			h, body, p, found, err := r.seek(&t, func(h *header) bool { return h.seq <= seq })
			if err != nil {
				return err
			}
			if found && h.seq == seq {
				out, err = h.slice(p, body, true)
				return err
			}
		}
		return fmt.Errorf("%w: stream %v seq %d", ErrNotFound, s, seq)
	})
	return out, err
}

// Slices yields a stream's slices in order, from seq on, as of the call. They own their bytes and are decoded and hashed anew. It ends after an
// error. The places of all slices to come are held meanwhile, 12 bytes each.
func (l *Ledger) Slices(s export.Stream, from uint64) iter.Seq2[canon.SealedSlice, error] {
	return func(yield func(canon.SealedSlice, error) bool) {
		places, stream, first, err := l.places(s, from)
		for i := 0; i < len(places) && err == nil; {
			var got []canon.SealedSlice
			err = l.view(func(tx *bbolt.Tx) error {
				r := reader{log: tx.Bucket(bucketLog)}
				for n := 0; i < len(places) && n < stepBytes; i++ {
					h, body, err := r.of(places[i], stream, first+uint64(i))
					if err != nil {
						return err
					}
					sl, err := h.slice(places[i], body, true)
					if err != nil {
						return err
					}
					got = append(got, sl)
					n += len(body)
				}
				return nil
			})
			for _, sl := range got {
				if !yield(sl, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(canon.SealedSlice{}, err)
		}
	}
}

// places returns where a stream's records are from a seq on, in order, with the stream's number and the first one's index.
func (l *Ledger) places(s export.Stream, from uint64) (places []place, stream, first uint64, err error) {
	var next place // of the record to visit, walking back
	for step := 0; step == 0 || err == nil && next.chunk != 0; step++ {
		err = l.view(func(tx *bbolt.Tx) error {
			if step == 0 {
				t, ok, err := l.lookup(tx, s)
				if err != nil || !ok {
					return err
				}
				stream, first, next = t.number, t.count, t.at
			}
			r := reader{log: tx.Bucket(bucketLog)}
			for n := 0; n < stepPlaces && next.chunk != 0; n++ {
				h, _, err := r.of(next, stream, first-1)
				if err != nil {
					return err
				}
				if h.seq < from {
					next = place{}
					break
				}
				first--
				places = append(places, next)
				next = h.prev
				if (next.chunk == 0) != (h.index == 0) {
					return corrupt(next, "stream %d: index %d, predecessor in chunk %d", stream, h.index, next.chunk)
				}
			}
			return nil
		})
	}
	slices.Reverse(places)
	return places, stream, first, err
}

// All yields every slice in the order in which they were stored, so each stream's in order of seq; it may include those
// that are stored meanwhile. They own their bytes and are decoded and hashed anew. It ends after an error.
func (l *Ledger) All() iter.Seq2[canon.SealedSlice, error] {
	return func(yield func(canon.SealedSlice, error) bool) {
		var key []byte // of the last chunk
		for {
			var data []byte
			err := l.view(func(tx *bbolt.Tx) error {
				c := tx.Bucket(bucketLog).Cursor()
				k, _ := c.Seek(key)
				if k != nil && key != nil {
					k, _ = c.Next()
				}
				if k == nil {
					return nil
				}
				if len(k) != 8 {
					return &CorruptError{What: fmt.Sprintf("log: key %x", k)}
				}
				key = append([]byte(nil), k...)
				r := reader{log: tx.Bucket(bucketLog)}
				b, err := r.chunk(be.Uint64(k))
				data = append([]byte(nil), b...)
				return err
			})
			if err != nil {
				yield(canon.SealedSlice{}, err)
				return
			}
			if data == nil {
				return
			}
			for off := 0; off < len(data); {
				at := place{be.Uint64(key), uint32(off)}
				h, err := parseHeader(data[off:])
				if err != nil {
					yield(canon.SealedSlice{}, corrupt(at, "%v", err))
					return
				}
				end := off + headerSize + int(h.size)
				s, err := h.slice(at, data[off+headerSize:end:end], false)
				if !yield(s, err) || err != nil {
					return
				}
				off = end
			}
		}
	}
}
