package ledger

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
)

// reader finds records in the log of one transaction, and in the chunks that this transaction is still filling. What it
// returns aliases the mapped file and ends with the transaction. One goroutine; calls belong under guard.
type reader struct {
	log   *bbolt.Bucket
	fresh *builder // nil for a read transaction

	number uint64 // of the chunk last read
	data   []byte
}

// chunk returns a chunk's records.
func (r *reader) chunk(number uint64) ([]byte, error) {
	if r.fresh != nil && number >= r.fresh.base {
		if i := number - r.fresh.base; i < uint64(len(r.fresh.chunks)) {
			return r.fresh.chunks[i], nil
		}
	} else if number == r.number && r.data != nil {
		return r.data, nil
	} else if b := r.log.Bucket(be.AppendUint64(nil, number)); b != nil {
		if data := b.Get(keyRecords); data != nil {
			r.number, r.data = number, data
			return data, nil
		}
	}
	return nil, &CorruptError{Chunk: number, What: "the chunk is missing"}
}

// at returns the record at p, with its slice's bytes.
func (r *reader) at(p place) (header, []byte, error) {
	data, err := r.chunk(p.chunk)
	if err != nil {
		return header{}, nil, err
	}
	if uint64(p.off) >= uint64(len(data)) {
		return header{}, nil, corrupt(p, "offset beyond the chunk's %d bytes", len(data))
	}
	h, err := parseHeader(data[p.off:])
	if err != nil {
		return header{}, nil, corrupt(p, "%v", err)
	}
	return h, data[int(p.off)+headerSize:][:h.size:h.size], nil
}

// of returns the record that is number index of a stream; anything else at p is corruption.
func (r *reader) of(p place, stream, index uint64) (header, []byte, error) {
	h, b, err := r.at(p)
	if err == nil && (h.stream != stream || h.index != index) {
		err = corrupt(p, "record of stream %d index %d, want stream %d index %d", h.stream, h.index, stream, index)
	}
	return h, b, err
}

// seek returns the newest record for which old is true; old must be true for every record before one for which it is.
// ok is false where there is none. It takes O(log n) steps.
func (r *reader) seek(t *tip, old func(*header) bool) (h header, body []byte, p place, ok bool, err error) {
	if t.count == 0 {
		return h, nil, p, false, nil
	}
	p = t.at
	if h, body, err = r.of(p, t.number, t.count-1); err != nil {
		return h, nil, p, false, err
	}
	for !old(&h) {
		if h.index == 0 {
			return h, nil, p, false, nil
		}
		if h.jumpIndex >= h.index {
			return h, nil, p, false, corrupt(p, "jump from index %d to %d", h.index, h.jumpIndex)
		}
		j, jbody, err := r.of(h.jump, h.stream, h.jumpIndex)
		if err != nil {
			return h, nil, p, false, err
		}
		if h.jumpIndex == h.index-1 || !old(&j) {
			h, body, p = j, jbody, h.jump
			continue
		}
		prev := h.prev
		if h, body, err = r.of(prev, h.stream, h.index-1); err != nil {
			return h, nil, prev, false, err
		}
		p = prev
	}
	return h, body, p, true, nil
}

// slice reads the slice of a record strictly, from a copy of its bytes where own is true.
func (h *header) slice(p place, body []byte, own bool) (canon.SealedSlice, error) {
	if own {
		body = append([]byte(nil), body...)
	}
	s, err := canon.View(body)
	if err != nil {
		return canon.SealedSlice{}, &CorruptError{Chunk: p.chunk, Offset: p.off, What: fmt.Sprintf("seq %d is not canonical", h.seq), Err: err}
	}
	if s.Digest() != h.digest {
		return canon.SealedSlice{}, corrupt(p, "seq %d: digest: got %v, want %v", h.seq, s.Digest(), h.digest)
	}
	return s, nil
}
