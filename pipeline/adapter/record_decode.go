package adapter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// document is the body of POST /record, in JSON and in CBOR.
type document struct {
	Rows []row `json:"rows"`
}

// row is one increment. Pointers tell what is missing from what is zero.
type row struct {
	Tenant    *id    `json:"tenant"`
	Dimension string `json:"dimension"`
	NS        uint32 `json:"ns"`
	Subject   *id    `json:"subject"`
	Inc       *units `json:"inc"`
}

// id is 32 lower-case hexadecimal digits; in CBOR also a byte string of 16. What is not is bad, and the row says so (Adapter.rows), not the decoder,
// which stops at the first.
type id struct {
	canon.ID
	bad bool
}

const faultID = "want 32 lower-case hexadecimal digits (in CBOR also 16 bytes)"

func (d *id) text(s string) {
	v, err := canon.ParseID(s)
	*d = id{v, err != nil || v.String() != s}
}

// UnmarshalJSON reads the digits.
func (d *id) UnmarshalJSON(b []byte) error {
	d.text(quoted(b))
	return nil
}

// UnmarshalCBOR reads either form.
func (d *id) UnmarshalCBOR(b []byte) error {
	if len(b) == 17 && b[0] == 0x50 {
		*d = id{ID: canon.ID(b[1:])}
		return nil
	}
	var s string
	if decCBOR.Unmarshal(b, &s) != nil {
		s = ""
	}
	d.text(s)
	return nil
}

// units is a decimal string; in CBOR also an unsigned integer. A number in JSON is bad: it would lose digits in most languages.
type units struct {
	n   uint64
	bad bool
}

const faultUnits = "want a decimal string up to 2^64-1 (in CBOR also an unsigned integer)"

func (u *units) text(s string) {
	v, err := strconv.ParseUint(s, 10, 64)
	*u = units{v, err != nil || strconv.FormatUint(v, 10) != s}
}

// UnmarshalJSON reads the digits.
func (u *units) UnmarshalJSON(b []byte) error {
	u.text(quoted(b))
	return nil
}

// UnmarshalCBOR reads either form.
func (u *units) UnmarshalCBOR(b []byte) error {
	if len(b) > 0 && b[0]>>5 == 0 {
		err := decCBOR.Unmarshal(b, &u.n)
		u.bad = err != nil
		return nil
	}
	var s string
	if decCBOR.Unmarshal(b, &s) != nil {
		s = ""
	}
	u.text(s)
	return nil
}

// quoted is what stands between the quotes of a JSON string that needs no escapes; "", which is neither an id nor units, for all else.
func quoted(b []byte) string {
	if len(b) < 2 || b[0] != '"' {
		return ""
	}
	return string(b[1 : len(b)-1])
}

// decCBOR is strict: no duplicate or unknown key, no tag, no indefinite length, little nesting.
var decCBOR = func() cbor.DecMode {
	m, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxArrayElements: 1 << 16, MaxMapPairs: 16,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive}.DecMode()
	if err != nil {
		panic("accounting/adapter: " + err.Error()) // a programmer's error, seen at start-up
	}
	return m
}()

// decodeRows reads a body of that media type.
func decodeRows(kind string, b []byte, most int) ([]row, *refusal) {
	var d document
	var err error
	if kind == typeCBOR {
		err = decCBOR.Unmarshal(b, &d)
	} else {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err = dec.Decode(&d); err == nil {
			if _, more := dec.Token(); more != io.EOF {
				err = errors.New("bytes follow the document")
			} else if !exactMembers(b) {
				err = errMembers
			}
		}
	}
	switch {
	case err != nil:
		return nil, refuse(problem.Schema, "", "%s", faultOf(err))
	case len(d.Rows) == 0:
		return nil, refuse(problem.Schema, "", "rows: got none, want at least one")
	case len(d.Rows) > most:
		return nil, refuse(problem.Oversize, reasonOversize, "rows: got %d, want at most %d", len(d.Rows), most)
	}
	return d.Rows, nil
}

// faultOf says what is wrong without repeating what was sent.
func faultOf(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errMembers):
		return errMembers.Error()
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON, at offset %d", syntax.Offset)
	case errors.As(err, &kind):
		got, _, _ := strings.Cut(kind.Value, " ") // a number follows its name, all of it
		want := strings.Replace(kind.Type.Kind().String(), "struct", "object", 1)
		return fmt.Sprintf("%.60s: got %s, want %s, at offset %d", cmp.Or(kind.Field, "the document"), got, want, kind.Offset)
	}
	return "not the document {rows: [{tenant, dimension, ns, subject, inc}]}, or more than that"
}

func rowDetail(i int, detail string) string { return fmt.Sprintf("row %d: %s", i, detail) }
