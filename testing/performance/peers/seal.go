package peers

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/zeebo/blake3"

	"github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/canon"
)

// Rows makes n rows of mixed widths in canonical order; another seed gives other rows.
func Rows(n int, seed uint64) []canon.Row {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	rows := make([]canon.Row, n)
	for i := range rows {
		rows[i] = canon.Row{Namespace: uint32(r.IntN(4) * 150), Subject: random(r), Inc: 1 + r.Uint64()>>(r.IntN(60)+4)}
	}
	slices.SortFunc(rows, compare)
	return rows
}

func compare(a, b canon.Row) int {
	if c := cmp.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return bytes.Compare(a.Subject[:], b.Subject[:])
}

// Head is a slice head like a sealer's, at a seq; prev is what it says of the one before.
func Head(seq uint64) canon.Head {
	h := canon.Head{V: 1, Seq: seq, Tenant: canon.ID{1}, Writer: canon.ID{2}, Dimension: "bytes", SealedAtMS: 1_790_000_000_123, WindowStartS: 1_789_999_800, WindowEndS: 1_790_000_100}
	if seq > 0 {
		h.Prev = &canon.Digest{3}
	}
	return h
}

// wireRow and wireSlice are the schema for fxamacker: the same items, which a struct encoder writes.
type wireRow struct {
	_   struct{} `cbor:",toarray"`
	NS  uint32
	ID  []byte
	Inc uint64
}
type wireHead struct {
	V      uint64 `cbor:"v"`
	Gap    *int   `cbor:"gap"`
	Seq    uint64 `cbor:"seq"`
	Prev   []byte `cbor:"prev"`
	Tenant []byte `cbor:"tenant"`
	Writer []byte `cbor:"writer"`
	Amn    bool   `cbor:"amnesia"`
	Dim    string `cbor:"dimension"`
	At     uint64 `cbor:"sealed_at_ms"`
	End    uint64 `cbor:"window_end_s"`
	Start  uint64 `cbor:"window_start_s"`
}
type wireSlice struct {
	Head wireHead  `cbor:"head"`
	Rows []wireRow `cbor:"rows"`
}

// Fxamacker encodes rows by github.com/fxamacker/cbor in its canonical mode.
type Fxamacker struct {
	mode cbor.EncMode
	rows []wireRow
	buf  bytes.Buffer
}

// NewFxamacker returns an encoder that keeps its buffers.
func NewFxamacker() (*Fxamacker, error) {
	m, err := cbor.CanonicalEncOptions().EncMode()
	return &Fxamacker{mode: m}, err
}

// Encode returns bytes that are valid until the next call.
func (f *Fxamacker) Encode(seq uint64, rows []canon.Row) ([]byte, error) {
	f.rows = f.rows[:0]
	for i := range rows {
		f.rows = append(f.rows, wireRow{NS: rows[i].Namespace, ID: rows[i].Subject[:], Inc: rows[i].Inc})
	}
	h := Head(seq)
	f.buf.Reset()
	err := f.mode.NewEncoder(&f.buf).Encode(wireSlice{Rows: f.rows, Head: wireHead{V: 1, Seq: seq, Tenant: h.Tenant[:], Writer: h.Writer[:],
		Dim: h.Dimension, At: h.SealedAtMS, End: h.WindowEndS, Start: h.WindowStartS}})
	return f.buf.Bytes(), err
}

// Sealer counts rows once and seals them, timing the seal only.
type Sealer struct {
	Name string
	Seal func() (time.Duration, error)
}

// Sealers are ours, the hash alone (of what ours sealed last), and the obvious way: a map drained into a slice, sorted, encoded by fxamacker,
// hashed by zeebo.
func Sealers(rows int) ([]Sealer, error) {
	keys := Keys(rows)
	for i := range keys { // one stream
		keys[i].Tenant, keys[i].Dimension = accounting.ID{7}, accounting.Bytes
	}
	r, err := accounting.New(accounting.Options{CapacityRows: rows * 5 / 4})
	if err != nil {
		return nil, err
	}
	count := func() error {
		for i := range keys {
			if err := r.Record(keys[i], uint64(1+i*i)); err != nil {
				return err
			}
		}
		return nil
	}
	ctx := context.Background()
	m := map[accounting.Key]uint64{}
	fx, err := NewFxamacker()
	if err != nil {
		return nil, err
	}
	var list []canon.Row
	var seq uint64
	var last []byte // the last slice of ours
	return []Sealer{{"ours Flush", func() (time.Duration, error) {
		if err := count(); err != nil {
			return 0, err
		}
		start := time.Now()
		err := r.Flush(ctx)
		return time.Since(start), err
	}}, {"ours SealNow", func() (time.Duration, error) {
		if err := count(); err != nil {
			return 0, err
		}
		start := time.Now()
		s, err := r.SealNow(ctx)
		d := time.Since(start)
		if err == nil && len(s) != (rows+4095)/4096 {
			err = fmt.Errorf("%d slices of %d rows", len(s), rows)
		} else if err == nil {
			last = s[0].Bytes()
		}
		return d, err
	}}, {"zeebo alone, the same bytes", func() (time.Duration, error) {
		start := time.Now()
		_ = blake3.Sum256(last)
		return time.Since(start), nil
	}}, {"map, sort, fxamacker, zeebo", func() (time.Duration, error) {
		for i := range keys {
			m[keys[i]] += uint64(1 + i*i)
		}
		start := time.Now()
		list = list[:0]
		for k, v := range m {
			list = append(list, canon.Row{Namespace: k.Namespace, Subject: k.Subject, Inc: v})
		}
		clear(m)
		slices.SortFunc(list, compare)
		b, err := fx.Encode(seq, list)
		_ = blake3.Sum256(b)
		seq++
		return time.Since(start), err
	}}}, nil
}
