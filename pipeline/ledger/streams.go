package ledger

import (
	"context"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// StreamInfo is what the ledger holds of one stream.
type StreamInfo struct {
	Stream    export.Stream
	Slices    uint64 // records; less than TipSeq+1 where there are gaps
	TipSeq    uint64
	TipDigest canon.Digest
	WindowEnd uint64 // of the tip, Unix seconds
	Gaps      []canon.Gap
}

// Filter chooses streams; nil and empty fields match all.
type Filter struct {
	Writer, Tenant *canon.ID
	Dimension      string
}

func (f *Filter) match(s *export.Stream) bool {
	return (f.Writer == nil || *f.Writer == s.Writer) && (f.Tenant == nil || *f.Tenant == s.Tenant) &&
		(f.Dimension == "" || f.Dimension == s.Dimension)
}

// Streams yields the streams that match, ordered by writer, tenant and dimension, as of the last commit when each was read. It ends after an error.
func (l *Ledger) Streams(ctx context.Context, f Filter) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		var after []byte
		for {
			var got []StreamInfo
			more := false
			err := l.view(func(tx *bbolt.Tx) error {
				if ctx.Err() != nil {
					return interrupted(ctx, "read")
				}
				return eachStream(tx, f, after, func(key []byte, s export.Stream, t *tip) (bool, error) {
					in := StreamInfo{Stream: s, Slices: t.count, TipSeq: t.seq, TipDigest: t.digest, WindowEnd: t.winEnd}
					var err error
					if in.Gaps, err = readGaps(tx, t); err != nil {
						return false, err
					}
					got = append(got, in)
					if len(got) == 1024 {
						after, more = append([]byte(nil), key...), true
					}
					return !more, nil
				})
			})
			for _, in := range got {
				if !yield(in, nil) {
					return
				}
			}
			if err != nil {
				yield(StreamInfo{}, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// eachStream calls fn for the streams that match, in the order of their keys, behind the key after. fn returns false to stop.
func eachStream(tx *bbolt.Tx, f Filter, after []byte, fn func(key []byte, s export.Stream, t *tip) (bool, error)) error {
	c := tx.Bucket(bucketStreams).Cursor()
	start := after
	if start == nil && f.Writer != nil {
		start = f.Writer[:]
	}
	k, v := c.Seek(start)
	if after != nil && string(k) == string(after) {
		k, v = c.Next()
	}
	for ; k != nil; k, v = c.Next() {
		s, ok := parseStreamKey(k)
		if !ok {
			return &CorruptError{What: fmt.Sprintf("streams: key %x", k)}
		}
		if f.Writer != nil && s.Writer != *f.Writer {
			return nil // keys begin with the writer
		}
		if !f.match(&s) {
			continue
		}
		t, err := readTip(tx, v)
		if err != nil {
			return err
		}
		if more, err := fn(k, s, &t); err != nil || !more {
			return err
		}
	}
	return nil
}

func readGaps(tx *bbolt.Tx, t *tip) ([]canon.Gap, error) {
	if t.gaps == 0 {
		return nil, nil
	}
	var out []canon.Gap
	c := tx.Bucket(bucketGaps).Cursor()
	prefix := be.AppendUint64(nil, t.number)
	for k, v := c.Seek(prefix); len(k) == 16 && string(k[:8]) == string(prefix); k, v = c.Next() {
		g, ok := parseGap(v)
		if !ok {
			return nil, &CorruptError{What: fmt.Sprintf("gaps %x: %x", k, v)}
		}
		out = append(out, g)
	}
	if uint64(len(out)) != uint64(t.gaps) {
		return nil, &CorruptError{What: fmt.Sprintf("gaps of stream %d: got %d, want %d", t.number, len(out), t.gaps)}
	}
	return out, nil
}

// Totals is what the whole file holds.
type Totals struct{ Streams, Slices, Bytes, Chunks uint64 }

// Totals returns the file's totals as of the last commit.
func (l *Ledger) Totals() Totals {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return Totals{Streams: l.st.streams, Slices: l.st.slices, Bytes: l.st.bytes, Chunks: l.st.chunks}
}
