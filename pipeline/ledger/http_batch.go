package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// AppendBatch appends a slice to the body of a POST /slices: its length as a shortest uvarint, then its bytes.
func AppendBatch(b []byte, s canon.SealedSlice) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s.Bytes()))), s.Bytes()...)
}

// splitBatch returns the slices of a body, which alias it. A fault of the framing fails the whole body: what follows it can't be told.
func splitBatch(b []byte, most int) ([][]byte, *problem.Problem) {
	var items [][]byte
	for off := 0; off < len(b); {
		n, k := binary.Uvarint(b[off:])
		switch {
		case k <= 0 || k > 1 && b[off+k-1] == 0:
			return nil, problem.New(problem.Schema, "offset %d: item %d: want its length as a shortest uvarint", off, len(items))
		case n == 0:
			return nil, problem.New(problem.Schema, "offset %d: item %d: got length 0", off, len(items))
		case n > canon.MaxBytes:
			return nil, problem.New(problem.Oversize, "offset %d: item %d: got %d bytes, want at most %d", off, len(items), n, canon.MaxBytes)
		case n > uint64(len(b)-off-k):
			return nil, problem.New(problem.Schema, "offset %d: item %d: got length %d, %d bytes are left", off, len(items), n, len(b)-off-k)
		case len(items) == most:
			return nil, problem.New(problem.Oversize, "got more than %d items", most)
		}
		items = append(items, b[off+k:off+k+int(n)])
		off += k + int(n)
	}
	if len(items) == 0 {
		return nil, problem.New(problem.Schema, "got an empty body, want at least one item")
	}
	return items, nil
}

func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	h.receive(w, r, h.o.MaxBatchBytes, func(b []byte) {
		items, p := splitBatch(b, h.o.MaxBatchSlices)
		if p != nil {
			problem.Write(w, p)
			return
		}
		slices, bad := viewAll(items)
		ctx, cancel := context.WithTimeout(r.Context(), h.o.OpDeadline)
		defer cancel()
		results := h.l.PutBatch(ctx, slices)
		if p := unavailable(results, bad); p != nil {
			problem.Write(w, p)
			return
		}
		out, next := append(make([]byte, 0, 64+130*len(items)), `{"results":[`...), 0
		for i := range items {
			if i > 0 {
				out = append(out, ',')
			}
			if err := bad[i]; err != nil {
				out = appendError(append(out, '{'), err)
			} else if s, res := &slices[next], results[next]; res.Err != nil {
				out = appendError(append(appendPlace(append(out, '{'), s), ','), res.Err)
				next++
			} else {
				out = appendAck(out, res.Ack, s)
				next++
			}
			out = append(out, '}')
		}
		writeJSON(w, append(out, "]}\n"...))
	})
}

// viewAll decodes the items, with their digests computed together. bad says what is wrong with those that are left out.
func viewAll(items [][]byte) (out []canon.SealedSlice, bad map[int]error) {
	sums := make([]canon.Digest, len(items))
	canon.SumMany(sums, items)
	out = make([]canon.SealedSlice, 0, len(items))
	for i, b := range items {
		s, err := canon.ViewSummed(b, sums[i])
		if err != nil {
			if bad == nil {
				bad = make(map[int]error)
			}
			bad[i] = err
			continue
		}
		out = append(out, s)
	}
	return out, bad
}

// unavailable is the answer to a batch none of which could be judged, because the ledger takes nothing now: then the whole
// request is to be sent again, later.
func unavailable(results []export.Result, bad map[int]error) *problem.Problem {
	if len(results) == 0 || len(bad) > 0 {
		return nil
	}
	for _, r := range results {
		if r.Err == nil || problemOf(r.Err).Code != problem.NotReady {
			return nil
		}
	}
	return problemOf(results[0].Err)
}

func appendAck(b []byte, ack export.Ack, s *canon.SealedSlice) []byte {
	b = append(append(b, `{"ack":"`...), ack.String()...)
	return appendPlace(append(b, `",`...), s)
}

func appendPlace(b []byte, s *canon.SealedSlice) []byte {
	b = strconv.AppendUint(append(b, `"seq":"`...), s.Head().Seq, 10)
	return append(append(append(b, `","b3":"`...), s.Digest().String()...), '"')
}

func appendError(b []byte, err error) []byte {
	doc, jerr := json.Marshal(problemOf(err))
	if jerr != nil { // strings and integers only
		doc = []byte(`{"status":500,"code":"internal"}`)
		_ = errors.Unwrap(jerr)
	}
	return append(append(b, `"error":`...), doc...)
}
