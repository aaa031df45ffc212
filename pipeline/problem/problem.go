// Package problem writes and reads the error answers of the HTTP interfaces: RFC 9457 problem documents with a code that
// programs decide by. The ledger and the adapter share it, so that one client understands both.
//
// A document has type "about:blank", the status' text as title, and beside the members of the RFC always a code. Numbers
// of 64 bits are decimal strings, as everywhere in these interfaces.
package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// MediaType is the Content-Type of a problem document.
const MediaType = "application/problem+json"

// Code tells programs what went wrong. The set of the contract is frozen; NotFound, Method, Length and Internal are
// plain HTTP failures that the contract has no word for.
type Code string

const (
	Schema        Code = "schema"         // 400: not canonical, or not of the form the resource takes
	Unauth        Code = "unauth"         // 401: credentials missing, invalid or expired
	Forbidden     Code = "forbidden"      // 403: a caveat or the peer does not match
	NotFound      Code = "not_found"      // 404
	Method        Code = "method"         // 405
	Gap           Code = "gap"            // 409: the slice before this one is not held
	Conflict      Code = "conflict"       // 409: another slice is held under this stream and seq
	Oversize      Code = "oversize"       // 413
	Type          Code = "type"           // 415: media type or content coding
	OrderOverflow Code = "order_overflow" // 422
	Busy          Code = "busy"           // 429, with Retry-After
	Internal      Code = "internal"       // 500
	NotReady      Code = "not_ready"      // 503, with Retry-After
)

// Status is the HTTP status of the code; 500 for an unknown one.
func (c Code) Status() int {
	switch c {
	case Schema:
		return http.StatusBadRequest
	case Unauth:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Method:
		return http.StatusMethodNotAllowed
	case Gap, Conflict:
		return http.StatusConflict
	case Oversize:
		return http.StatusRequestEntityTooLarge
	case Type:
		return http.StatusUnsupportedMediaType
	case OrderOverflow:
		return http.StatusUnprocessableEntity
	case Busy:
		return http.StatusTooManyRequests
	case NotReady:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Tip is the last slice that a ledger holds of a stream.
type Tip struct {
	Seq uint64
	B3  canon.Digest
}

type tipJSON struct {
	Seq string `json:"seq"`
	B3  string `json:"b3"`
}

// Refusal is what a gap or a conflict adds: what the ledger would take next, and its tip (nil: it holds nothing).
type Refusal struct {
	ExpectedSeq uint64
	Tip         *Tip
}

// Problem is one document. It is an error, so that it can travel as one. The zero RetryAfter sends no header.
type Problem struct {
	Code       Code
	Detail     string
	RetryAfter time.Duration
	Refusal    *Refusal // for Gap and Conflict
	Missing    []string // readiness keys, for NotReady
	Rows       []Row    // of a batch that is refused as a whole: what is wrong with which
}

// Row is the fault of one row of a batch.
type Row struct {
	Row    int    `json:"row"` // from 0
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// New returns a problem with a formatted detail.
func New(c Code, format string, args ...any) *Problem {
	return &Problem{Code: c, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s", p.Code.Status(), p.Code, p.Detail)
}

type document struct {
	Type        string          `json:"type"`
	Title       string          `json:"title"`
	Status      int             `json:"status"`
	Code        Code            `json:"code"`
	Detail      string          `json:"detail,omitempty"`
	ExpectedSeq *string         `json:"expected_seq,omitempty"`
	Tip         json.RawMessage `json:"tip,omitempty"`
	Missing     []string        `json:"missing,omitempty"`
	RetryAfter  int64           `json:"retry_after,omitempty"` // seconds, rounded up
	Rows        []Row           `json:"rows,omitempty"`
}

// MarshalJSON writes the document.
func (p *Problem) MarshalJSON() ([]byte, error) {
	st := p.Code.Status()
	d := document{Type: "about:blank", Title: http.StatusText(st), Status: st, Code: p.Code, Detail: p.Detail,
		Missing: p.Missing, RetryAfter: p.retrySeconds(), Rows: p.Rows}
	if r := p.Refusal; r != nil {
		s := strconv.FormatUint(r.ExpectedSeq, 10)
		d.ExpectedSeq, d.Tip = &s, json.RawMessage("null")
		if r.Tip != nil {
			b, err := json.Marshal(tipJSON{strconv.FormatUint(r.Tip.Seq, 10), r.Tip.B3.String()})
			if err != nil {
				return nil, err
			}
			d.Tip = b
		}
	}
	return json.Marshal(d)
}

// UnmarshalJSON reads a document. Members that it does not know are ignored, as the RFC asks; those of this
// package must be well-formed. The status of the document is not believed: the code implies it.
func (p *Problem) UnmarshalJSON(b []byte) error {
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	*p = Problem{Code: d.Code, Detail: d.Detail, Missing: d.Missing, Rows: d.Rows}
	if d.RetryAfter > 0 {
		p.RetryAfter = time.Duration(min(d.RetryAfter, 1<<31)) * time.Second
	}
	if d.ExpectedSeq == nil {
		return nil
	}
	r := &Refusal{}
	var err error
	if r.ExpectedSeq, err = strconv.ParseUint(*d.ExpectedSeq, 10, 64); err != nil {
		return fmt.Errorf("expected_seq: %w", err)
	}
	if len(d.Tip) > 0 && string(d.Tip) != "null" {
		var t tipJSON
		if err := json.Unmarshal(d.Tip, &t); err != nil {
			return fmt.Errorf("tip: %w", err)
		}
		r.Tip = &Tip{}
		if r.Tip.Seq, err = strconv.ParseUint(t.Seq, 10, 64); err != nil {
			return fmt.Errorf("tip.seq: %w", err)
		}
		if r.Tip.B3, err = canon.ParseDigest(t.B3); err != nil {
			return fmt.Errorf("tip.b3: %w", err)
		}
	}
	p.Refusal = r
	return nil
}

// retrySeconds rounds up: a client that comes back a moment early is refused again.
func (p *Problem) retrySeconds() int64 {
	if p.RetryAfter <= 0 {
		return 0
	}
	return int64((p.RetryAfter + time.Second - 1) / time.Second)
}

// Write answers a request with the problem. Nothing must have been written to w before.
func Write(w http.ResponseWriter, p *Problem) {
	b, err := json.Marshal(p)
	if err != nil { // only strings and integers are in it
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if s := p.retrySeconds(); s > 0 {
		h.Set("Retry-After", strconv.FormatInt(s, 10))
	}
	w.WriteHeader(p.Code.Status())
	_, _ = w.Write(append(b, '\n')) // the client may be gone; there is nobody to tell
}
