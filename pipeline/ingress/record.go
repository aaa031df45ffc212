package ingress

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// This file has the bytes of what is kept beside slices. Integers are big-endian; the records are frozen with the log's format version.

var be = binary.BigEndian

// An acked slice's record: digest, writer, tenant, seq, window start and end, sealed_at, then the dimension with its length before it.
const ackedFixed = 32 + 16 + 16 + 4*8 + 1

func (a *ackedSlice) append(b []byte) []byte {
	b = append(append(append(b, a.digest[:]...), a.stream.Writer[:]...), a.stream.Tenant[:]...)
	for _, v := range []uint64{a.seq, a.windowStart, a.windowEnd, a.at} {
		b = be.AppendUint64(b, v)
	}
	b = append(b, byte(len(a.stream.Dimension)))
	return append(b, a.stream.Dimension...)
}

// parseAcked reads one record from the front of v.
func parseAcked(v []byte) (a ackedSlice, rest []byte, err error) {
	if len(v) < ackedFixed || len(v) < ackedFixed+int(v[ackedFixed-1]) {
		return a, nil, fmt.Errorf("%w: acked slice: it is cut off after %d bytes", ErrCorrupt, len(v))
	}
	end := ackedFixed + int(v[ackedFixed-1])
	if a, err = ackedOf(v, v[ackedFixed:end]); err != nil {
		return a, nil, err
	}
	return a, v[end:], nil
}

// ackedOf takes the fixed fields from v.
func ackedOf(v, dimension []byte) (a ackedSlice, err error) {
	if !canon.ValidName(string(dimension)) {
		return a, fmt.Errorf("%w: acked slice: dimension: got %.70q, want a name", ErrCorrupt, dimension)
	}
	a.digest = canon.Digest(v[:32])
	a.stream = export.Stream{Writer: canon.ID(v[32:48]), Tenant: canon.ID(v[48:64]), Dimension: string(dimension)}
	a.seq, a.windowStart, a.windowEnd, a.at = be.Uint64(v[64:]), be.Uint64(v[72:]), be.Uint64(v[80:]), be.Uint64(v[88:])
	return a, nil
}

const keySize = 32 + 32 + 8

func (k *keyRecord) append(b []byte) []byte {
	b = append(append(b, k.key[:]...), k.batch[:]...)
	return be.AppendUint64(b, uint64(k.at.Unix()))
}

// parseKey reads one record from the front of v.
func parseKey(v []byte) (k keyRecord, rest []byte, err error) {
	if len(v) < keySize {
		return k, nil, fmt.Errorf("%w: idempotency key: got %d bytes, want %d", ErrCorrupt, len(v), keySize)
	}
	k.key, k.batch, k.at = canon.Digest(v[:32]), canon.Digest(v[32:64]), time.Unix(int64(be.Uint64(v[64:])), 0)
	return k, v[keySize:], nil
}
