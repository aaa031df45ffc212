package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ron-accounting/ron-accounting/canon"
)

// The schema of a slice as structs of fxamacker/cbor, and the rules of the format written down a second time: what is shared with
// package canon is its types for values, none of its code.

type fxSlice struct {
	Head fxHead  `cbor:"head"`
	Rows []fxRow `cbor:"rows"`
}

type fxHead struct {
	V           uint64    `cbor:"v"`
	Gap         *fxGap    `cbor:"gap"`
	Seq         uint64    `cbor:"seq"`
	Prev        *cbor.Tag `cbor:"prev"`
	Tenant      []byte    `cbor:"tenant"`
	Writer      []byte    `cbor:"writer"`
	Amnesia     bool      `cbor:"amnesia"`
	Dimension   string    `cbor:"dimension"`
	SealedAtMS  uint64    `cbor:"sealed_at_ms"`
	WindowEnd   uint64    `cbor:"window_end_s"`
	WindowStart uint64    `cbor:"window_start_s"`
}

type fxGap struct {
	To     uint64  `cbor:"to"`
	From   uint64  `cbor:"from"`
	Units  *uint64 `cbor:"units"`
	Reason string  `cbor:"reason"`
}

type fxRow struct {
	_   struct{} `cbor:",toarray"`
	NS  uint64
	ID  []byte
	Inc uint64
}

// value is what a slice says.
type value struct {
	head canon.Head
	rows []canon.Row
}

// linkBytes is what tag 42 holds: the identity multibase, CIDv1, dag-cbor, blake3, 32 bytes.
func linkBytes(d canon.Digest) []byte { return append([]byte{0, 1, 0x71, 0x1e, 32}, d[:]...) }

var fxMode = func() cbor.EncMode {
	o := cbor.CanonicalEncOptions() // RFC 7049: keys by length, then by bytes
	o.TagsMd = cbor.TagsAllowed
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var fxStrict = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8: cbor.UTF8RejectInvalid, MaxArrayElements: canon.MaxBytes,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

func toFx(v value) fxSlice {
	h := &v.head
	s := fxSlice{Rows: []fxRow{}, Head: fxHead{V: max(h.V, 1), Seq: h.Seq, Tenant: h.Tenant[:], Writer: h.Writer[:], Amnesia: h.Amnesia,
		Dimension: h.Dimension, SealedAtMS: h.SealedAtMS, WindowEnd: h.WindowEndS, WindowStart: h.WindowStartS}}
	if h.Prev != nil {
		s.Head.Prev = &cbor.Tag{Number: 42, Content: linkBytes(*h.Prev)}
	}
	if g := h.Gap; g != nil {
		s.Head.Gap = &fxGap{To: g.To, From: g.From, Units: g.Units, Reason: g.Reason}
	}
	for i := range v.rows {
		r := &v.rows[i]
		s.Rows = append(s.Rows, fxRow{NS: uint64(r.Namespace), ID: r.Subject[:], Inc: r.Inc})
	}
	return s
}

// fxEncode writes v by fxamacker/cbor.
func fxEncode(t testing.TB, v value) []byte {
	t.Helper()
	b, err := fxMode.Marshal(toFx(v))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var name = regexp.MustCompile(`\A[a-z][a-z0-9_]{0,62}\z`)

// judge says, by fxamacker/cbor and the rules below, whether b is a slice. A value that reads well but would be written in other bytes is none.
func judge(b []byte) error {
	if len(b) > 1<<20 {
		return errors.New("too large")
	}
	var s fxSlice
	if err := fxStrict.Unmarshal(b, &s); err != nil {
		return err
	}
	if again, err := fxMode.Marshal(s); err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("not canonical (%v)", err)
	}
	return s.rules()
}

func (s *fxSlice) rules() error {
	h := &s.Head
	ok := func(good bool, rule string) error {
		if good {
			return nil
		}
		return errors.New(rule)
	}
	first := h.Seq == 0
	errs := []error{
		ok(h.V == 1, "v"), ok(h.Seq < 1<<63, "seq"), ok(len(h.Tenant) == 16 && len(h.Writer) == 16, "ids"),
		ok(name.MatchString(h.Dimension), "dimension"), ok(h.WindowStart < h.WindowEnd, "window"), ok(s.Rows != nil, "rows null"),
	}
	if g := h.Gap; g != nil {
		errs = append(errs, ok(g.From <= g.To && h.Seq > 0 && g.To == h.Seq-1 && name.MatchString(g.Reason), "gap"))
		first = g.From == 0
	}
	errs = append(errs, ok((h.Prev == nil) == first, "prev or not"))
	if p := h.Prev; p != nil {
		b, isBytes := p.Content.([]byte)
		errs = append(errs, ok(p.Number == 42 && isBytes && len(b) == 37 && bytes.HasPrefix(b, linkBytes(canon.Digest{})[:5]), "prev"))
	}
	for i, r := range s.Rows {
		errs = append(errs, ok(r.NS < 1<<32 && len(r.ID) == 16 && r.Inc > 0, "row"))
		if i > 0 {
			p := &s.Rows[i-1]
			errs = append(errs, ok(p.NS < r.NS || p.NS == r.NS && bytes.Compare(p.ID, r.ID) < 0, "row order"))
		}
	}
	return errors.Join(errs...)
}
