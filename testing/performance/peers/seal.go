package peers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/prometheus/client_golang/prometheus"
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

// Sealer counts rows once and seals them, n times, and returns how long the seals took together. Close ends it.
type Sealer struct {
	Name  string
	Seal  func(n int) (time.Duration, error)
	Close func() error
}

// ack is a sink that holds whatever it is given.
type ack struct{}

func (ack) Put(context.Context, accounting.SealedSlice) (accounting.Ack, error) {
	return accounting.AckOK, nil
}

// background is the seal of a recorder that exports, as its ticker does it. How long that took only accounting_seal_seconds tells:
// Flush waits for the sink as well.
func background(o accounting.Options, count func(*accounting.Recorder) error) (Sealer, error) {
	o.Sinks = []accounting.Sink{{Name: "ack", Exporter: ack{}}}
	r, err := accounting.Open(o)
	if err != nil {
		return Sealer{}, err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.Collector())
	var before float64
	return Sealer{"ours, the background seal", func(n int) (time.Duration, error) {
		for range n {
			if err := count(r); err != nil {
				return 0, err
			}
			if err := r.Flush(context.Background()); err != nil {
				return 0, err
			}
		}
		fs, err := reg.Gather()
		if err != nil {
			return 0, err
		}
		for _, f := range fs {
			if f.GetName() == "accounting_seal_seconds" {
				now := f.GetMetric()[0].GetHistogram().GetSampleSum()
				d := time.Duration((now - before) * 1e9)
				before = now
				return d, nil
			}
		}
		return 0, errors.New("the recorder has no accounting_seal_seconds")
	}, func() error { return r.Close(context.Background()) }}, nil
}

// times does one n times.
func times(one func() (time.Duration, error)) func(int) (time.Duration, error) {
	return func(n int) (sum time.Duration, _ error) {
		for range n {
			d, err := one()
			if err != nil {
				return 0, err
			}
			sum += d
		}
		return sum, nil
	}
}

// Sealers are ours by both ways, the hash alone (of what SealNow sealed last), and the obvious way: a map drained into a slice, sorted,
// encoded by fxamacker, hashed by zeebo. Seal is called in this order.
func Sealers(rows int) ([]Sealer, error) {
	keys := Keys(rows)
	for i := range keys { // one stream
		keys[i].Tenant, keys[i].Dimension = accounting.ID{7}, accounting.Bytes
	}
	count := func(r *accounting.Recorder) error {
		for i := range keys {
			if err := r.Record(keys[i], uint64(1+i*i)); err != nil {
				return err
			}
		}
		return nil
	}
	o := accounting.Options{CapacityRows: rows * 5 / 4}
	bg, err := background(o, count)
	if err != nil {
		return nil, err
	}
	r, err := accounting.New(o)
	if err != nil {
		return nil, errors.Join(err, bg.Close())
	}
	nothing := func() error { return nil }
	ctx := context.Background()
	m := map[accounting.Key]uint64{}
	fx, err := NewFxamacker()
	if err != nil {
		return nil, errors.Join(err, bg.Close(), r.Close(ctx))
	}
	var list []canon.Row
	var seq uint64
	var last []byte // the last slice of ours
	return []Sealer{bg, {"ours SealNow", times(func() (time.Duration, error) {
		if err := count(r); err != nil {
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
	}), func() error { return r.Close(ctx) }}, {"zeebo alone, the same bytes", times(func() (time.Duration, error) {
		start := time.Now()
		_ = blake3.Sum256(last)
		return time.Since(start), nil
	}), nothing}, {"map, sort, fxamacker, zeebo", times(func() (time.Duration, error) {
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
	}), nothing}}, nil
}
