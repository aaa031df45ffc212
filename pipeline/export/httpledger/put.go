package httpledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// itemAnswer bounds what one result of a batch may take.
const itemAnswer = 2 << 10

// Put implements export.Exporter.
func (c *Client) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := c.PutBatch(ctx, []canon.SealedSlice{s})[0]
	return r.Ack, r.Err
}

// PutBatch implements export.BatchExporter. Errors: *export.RefusedError where the ledger refused the slice's place, canon.ErrSchema,
// export.ErrTimeout, *export.RemoteError with the status and Retry-After, or the context's.
func (c *Client) PutBatch(ctx context.Context, slices []canon.SealedSlice) []export.Result {
	out := make([]export.Result, len(slices))
	for from := 0; from < len(slices); {
		to, size := from, 0
		for to < len(slices) && to-from < c.o.MaxBatchSlices && (to == from || size+len(slices[to].Bytes())+4 <= c.o.MaxBatchBytes) {
			size += len(slices[to].Bytes()) + 4
			to++
		}
		if err := c.post(ctx, slices[from:to], out[from:to], size); err != nil {
			for i := from; i < len(out); i++ { // what follows may rest on it: it is not even sent
				out[i] = export.Result{Err: err}
			}
			break
		}
		from = to
	}
	inherit(slices, out)
	return out
}

// inherit gives a slice behind one that failed for a passing reason the same error: the ledger's "gap" there would halt the lane for nothing.
func inherit(slices []canon.SealedSlice, out []export.Result) {
	var failed map[export.Stream]error
	for i := range out {
		if out[i].Err == nil {
			continue
		}
		s := export.StreamOf(slices[i].Head())
		if first, ok := failed[s]; ok {
			out[i] = export.Result{Err: first}
		} else if !errors.Is(out[i].Err, export.ErrGap) && !errors.Is(out[i].Err, export.ErrConflict) {
			if failed == nil {
				failed = make(map[export.Stream]error)
			}
			failed[s] = out[i].Err
		}
	}
}

type itemJSON struct {
	Ack   string           `json:"ack"`
	Seq   string           `json:"seq"`
	B3    string           `json:"b3"`
	Error *problem.Problem `json:"error"`
}

// post sends one request. Its error is that of the whole request.
func (c *Client) post(ctx context.Context, slices []canon.SealedSlice, out []export.Result, size int) error {
	body := make([]byte, 0, size)
	for _, s := range slices {
		body = append(binary.AppendUvarint(body, uint64(len(s.Bytes()))), s.Bytes()...)
	}
	res, b, err := c.do(ctx, "put", http.MethodPost, "/slices", bytes.NewReader(body), int64(len(slices)+1)*itemAnswer)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return refusal("put", res, b)
	}
	var doc struct {
		Results []itemJSON `json:"results"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return garbage("put", err)
	}
	if len(doc.Results) != len(slices) {
		return garbage("put", fmt.Errorf("got %d results for %d slices", len(doc.Results), len(slices)))
	}
	for i := range doc.Results {
		out[i] = doc.Results[i].result(slices[i])
	}
	return nil
}

func (j *itemJSON) result(s canon.SealedSlice) export.Result {
	h := s.Head()
	if j.Error != nil {
		return export.Result{Err: itemError(j.Error, export.StreamOf(h), h.Seq)}
	}
	if seq, b3 := strconv.FormatUint(h.Seq, 10), s.Digest().String(); j.Seq != seq || j.B3 != b3 {
		return export.Result{Err: garbage("put", fmt.Errorf("got an answer for seq %.20q %.70q, want %s %s", j.Seq, j.B3, seq, b3))}
	}
	switch j.Ack {
	case "ok":
		return export.Result{Ack: export.AckOK}
	case "dup":
		return export.Result{Ack: export.AckDuplicate}
	}
	return export.Result{Err: garbage("put", fmt.Errorf("got ack %.20q, want ok or dup", j.Ack))}
}

func itemError(p *problem.Problem, s export.Stream, seq uint64) error {
	switch p.Code {
	case problem.Gap, problem.Conflict:
		if p.Refusal == nil {
			return garbage("put", fmt.Errorf("%s without expected_seq", p.Code))
		}
		e := &export.RefusedError{Kind: export.ErrGap, Stream: s, Seq: seq, ExpectedSeq: p.Refusal.ExpectedSeq}
		if p.Code == problem.Conflict {
			e.Kind = export.ErrConflict
		}
		if t := p.Refusal.Tip; t != nil {
			e.TipOK, e.TipSeq, e.TipDigest = true, t.Seq, t.B3
		}
		return e
	case problem.Schema:
		return fmt.Errorf("%w: the ledger refused it: %s", canon.ErrSchema, p.Detail)
	}
	return &export.RemoteError{Op: "put", Status: p.Code.Status(), RetryAfter: p.RetryAfter, Err: p}
}

// refusal is the error of a whole request that was answered with another status than 200.
func refusal(op string, res *http.Response, b []byte) error {
	e := &export.RemoteError{Op: op, Status: res.StatusCode, RetryAfter: retryAfter(res.Header)}
	var p problem.Problem
	if json.Unmarshal(b, &p) == nil && p.Code != "" {
		e.Err = &p
	} else {
		e.Err = fmt.Errorf("%.200q", b)
	}
	return e
}

// garbage is the error of an answer that can't be believed: the outcome is unknown.
func garbage(op string, err error) error {
	return &export.RemoteError{Op: op, Status: http.StatusBadGateway, RetryAfter: time.Second, Err: fmt.Errorf("the ledger's answer is not one: %w", err)}
}

// Tip implements export.Tipper.
func (c *Client) Tip(ctx context.Context, s export.Stream) (seq uint64, d canon.Digest, ok bool, err error) {
	q := url.Values{"writer": {s.Writer.String()}, "tenant": {s.Tenant.String()}, "dimension": {s.Dimension}}
	res, b, err := c.do(ctx, "handshake", http.MethodGet, "/streams?"+q.Encode(), nil, 16<<20)
	if err != nil {
		return 0, d, false, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, d, false, refusal("handshake", res, b)
	}
	var list []struct {
		Writer, Tenant, Dimension string
		Tip                       struct{ Seq, B3 string }
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return 0, d, false, garbage("handshake", err)
	}
	if list == nil { // null: not even an empty list, and "none" would read as a ledger that has lost all
		return 0, d, false, garbage("handshake", errors.New("got null, want a list of streams"))
	}
	if len(list) == 0 {
		return 0, d, false, nil
	}
	if x := &list[0]; len(list) != 1 || x.Writer != s.Writer.String() || x.Tenant != s.Tenant.String() || x.Dimension != s.Dimension {
		return 0, d, false, garbage("handshake", fmt.Errorf("got %d streams beginning with another one, want one or none", len(list)))
	}
	if seq, err = strconv.ParseUint(list[0].Tip.Seq, 10, 64); err == nil && seq > canon.MaxSeq {
		err = fmt.Errorf("got tip %d, want at most %d", seq, uint64(canon.MaxSeq))
	}
	if err == nil {
		d, err = canon.ParseDigest(list[0].Tip.B3)
	}
	if err != nil {
		return 0, canon.Digest{}, false, garbage("handshake", err)
	}
	return seq, d, true, nil
}
