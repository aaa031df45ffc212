package ledger

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// DigestHeader carries a slice's digest beside its bytes.
const DigestHeader = "Ron-B3"

// HandlerOptions are the limits of the HTTP interface; zero fields have the default.
type HandlerOptions struct {
	MaxBatchBytes    int64         // of a POST /slices body; 32 MiB
	MaxBatchSlices   int           // in a POST /slices body; 16384
	MaxInflightBytes int64         // of all bodies that are being received or stored; beyond it 429 busy; 128 MiB
	MaxGroups        int           // of a GET /usage answer; 100000
	OpDeadline       time.Duration // of a put; 10 s
	QueryDeadline    time.Duration // of a GET; 4 s
}

func (o *HandlerOptions) setDefaults() {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.MaxBatchBytes, 32<<20)
	def(&o.MaxInflightBytes, max(128<<20, o.MaxBatchBytes))
	def((*int64)(&o.OpDeadline), int64(10*time.Second))
	def((*int64)(&o.QueryDeadline), int64(4*time.Second))
	if o.MaxBatchSlices <= 0 {
		o.MaxBatchSlices = 16384
	}
	if o.MaxGroups <= 0 {
		o.MaxGroups = 100_000
	}
}

// Handler returns the ledger's HTTP interface:
//
//	PUT  /slices/{writer}/{tenant}/{dimension}/{seq}   one slice → 200 {"ack","seq","b3"}; Ron-B3, where given, must be its digest
//	POST /slices                                       uvarint length and slice, repeated → 200 {"results":[…]}, one per slice
//	GET  /slices/{writer}/{tenant}/{dimension}/{seq}   the slice's bytes
//	GET  /streams?writer=&tenant=&dimension=           [{"writer","tenant","dimension","tip":{"seq","b3"},"gaps":[…]}]
//	GET  /usage?writer=&tenant=&dimension=&from=&to=&group=   sums of the slices with from < window_end_s <= to
//	GET  /healthz, /readyz
//
// A result of a batch is what PUT answers, or {"seq","b3","error":problem}. Bodies are of type canon.MediaType. Errors
// are problem documents. The handler has no authentication: its listener must be reachable only for those who may write.
func (l *Ledger) Handler(o HandlerOptions) http.Handler {
	o.setDefaults()
	h := &handler{l: l, o: o, mux: http.NewServeMux()}
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/slices/{writer}/{tenant}/{dimension}/{seq}": {"PUT": h.put, "GET": h.get, "HEAD": h.get},
		"/slices":  {"POST": h.post},
		"/streams": {"GET": h.streams, "HEAD": h.streams},
		"/usage":   {"GET": h.usage, "HEAD": h.usage},
		"/healthz": {"GET": h.healthz, "HEAD": h.healthz},
		"/readyz":  {"GET": h.readyz, "HEAD": h.readyz},
	} {
		h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if f := methods[r.Method]; f != nil {
				f(w, r)
				return
			}
			allow := ""
			for _, m := range []string{"GET", "HEAD", "POST", "PUT"} {
				if methods[m] != nil {
					allow += ", " + m
				}
			}
			w.Header().Set("Allow", allow[2:])
			problem.Write(w, problem.New(problem.Method, "got %.20q, want %s", r.Method, allow[2:]))
		})
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, problem.New(problem.NotFound, "no resource %.200q", r.URL.Path))
	})
	return h
}

type handler struct {
	l        *Ledger
	o        HandlerOptions
	mux      *http.ServeMux
	inflight atomic.Int64
	buffers  sync.Pool // *bytes.Buffer
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// receive reads a body of at most limit bytes and calls use with it; the bytes are valid until use returns. It answers
// what it refuses.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, limit int64, use func([]byte)) {
	if p := checkType(r.Header); p != nil {
		problem.Write(w, p)
		return
	}
	if r.ContentLength > limit {
		problem.Write(w, problem.New(problem.Oversize, "got %d bytes, want at most %d", r.ContentLength, limit))
		return
	}
	claim := limit // of unknown length: as much as it may become
	if r.ContentLength >= 0 {
		claim = r.ContentLength
	}
	defer h.inflight.Add(-claim)
	if h.inflight.Add(claim) > h.o.MaxInflightBytes {
		problem.Write(w, &problem.Problem{Code: problem.Busy, RetryAfter: time.Second, Detail: "too many bodies in flight"})
		return
	}
	b, _ := h.buffers.Get().(*bytes.Buffer)
	if b == nil {
		b = new(bytes.Buffer)
	}
	defer func() {
		if b.Cap() <= 16<<20 {
			b.Reset()
			h.buffers.Put(b)
		}
	}()
	b.Grow(int(min(claim+bytes.MinRead, 1<<20))) // the rest is allocated as it arrives
	var tooLarge *http.MaxBytesError
	switch _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); {
	case errors.As(err, &tooLarge):
		problem.Write(w, problem.New(problem.Oversize, "got more than %d bytes", limit))
	case err != nil:
		problem.Write(w, problem.New(problem.Schema, "the body ended early, after %d bytes", b.Len()))
	default:
		use(b.Bytes())
	}
}

func checkType(hd http.Header) *problem.Problem {
	t, _, err := mime.ParseMediaType(hd.Get("Content-Type"))
	if err != nil || t != canon.MediaType {
		return problem.New(problem.Type, "Content-Type: got %.100q, want %s", hd.Get("Content-Type"), canon.MediaType)
	}
	if c := hd.Get("Content-Encoding"); c != "" && c != "identity" {
		return problem.New(problem.Type, "Content-Encoding: got %.40q, want none", c)
	}
	return nil
}

func (h *handler) put(w http.ResponseWriter, r *http.Request) {
	stream, seq, p := slicePath(r)
	if p != nil {
		problem.Write(w, p)
		return
	}
	h.receive(w, r, canon.MaxBytes, func(b []byte) {
		s, err := canon.View(b)
		if err != nil {
			problem.Write(w, problemOf(err))
			return
		}
		if got := r.Header.Values(DigestHeader); len(got) > 1 || len(got) == 1 && got[0] != s.Digest().String() {
			problem.Write(w, problem.New(problem.Schema, "%s: got %.100q, want the body's digest %v", DigestHeader, got, s.Digest()))
			return
		}
		if hd := s.Head(); export.StreamOf(hd) != stream || hd.Seq != seq {
			problem.Write(w, problem.New(problem.Schema, "path: got %.200q, want that of the slice, %s", r.URL.Path, slicePathOf(export.StreamOf(hd), hd.Seq)))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), h.o.OpDeadline)
		defer cancel()
		ack, err := h.l.Put(ctx, s)
		if err != nil {
			problem.Write(w, problemOf(err))
			return
		}
		w.Header().Set(DigestHeader, s.Digest().String())
		writeJSON(w, append(appendAck(nil, ack, &s), '}', '\n'))
	})
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	stream, seq, p := slicePath(r)
	if p != nil {
		problem.Write(w, p)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.o.QueryDeadline)
	defer cancel()
	s, err := h.l.Slice(ctx, stream, seq)
	if err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	hd := w.Header()
	hd.Set(DigestHeader, s.Digest().String())
	hd.Set("ETag", `"`+s.Digest().String()+`"`)
	hd.Set("Cache-Control", "private, max-age=31536000, immutable")
	if r.Header.Get("If-None-Match") == hd.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	hd.Set("Content-Type", canon.MediaType)
	hd.Set("Content-Length", strconv.Itoa(len(s.Bytes())))
	_, _ = w.Write(s.Bytes()) // the client may be gone
}

// slicePath reads a slice's path. Each part has one form only, so that a slice has one URL.
func slicePath(r *http.Request) (s export.Stream, seq uint64, p *problem.Problem) {
	var err error
	bad := func(part string) (export.Stream, uint64, *problem.Problem) {
		return s, 0, problem.New(problem.Schema, "path: %s: got %.80q: want writer and tenant of 32 lower-case hexadecimal digits, a dimension, a decimal seq", part, r.PathValue(part))
	}
	if s.Writer, err = canonicalID(r.PathValue("writer")); err != nil {
		return bad("writer")
	}
	if s.Tenant, err = canonicalID(r.PathValue("tenant")); err != nil {
		return bad("tenant")
	}
	if s.Dimension = r.PathValue("dimension"); !canon.ValidName(s.Dimension) {
		return bad("dimension")
	}
	if seq, err = parseU64(r.PathValue("seq")); err != nil || seq > canon.MaxSeq {
		return bad("seq")
	}
	return s, seq, nil
}

func slicePathOf(s export.Stream, seq uint64) string {
	return "/slices/" + s.Writer.String() + "/" + s.Tenant.String() + "/" + url.PathEscape(s.Dimension) + "/" + strconv.FormatUint(seq, 10)
}

var (
	errForm   = errors.New("not in its canonical form")
	errNumber = errors.New("want a decimal number below 2^64, without leading zeros")
)

func canonicalID(s string) (canon.ID, error) {
	id, err := canon.ParseID(s)
	if err == nil && id.String() != s {
		err = errForm
	}
	return id, err
}

func parseU64(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(v, 10) != s {
		return 0, errNumber
	}
	return v, nil
}

// problemOf is how an error of the ledger is answered.
func problemOf(err error) *problem.Problem {
	p := &problem.Problem{Detail: err.Error()}
	var refused *export.RefusedError
	switch {
	case errors.As(err, &refused):
		p.Code, p.Refusal = problem.Gap, &problem.Refusal{ExpectedSeq: refused.ExpectedSeq}
		if errors.Is(err, export.ErrConflict) {
			p.Code = problem.Conflict
		}
		if refused.TipOK {
			p.Refusal.Tip = &problem.Tip{Seq: refused.TipSeq, B3: refused.TipDigest}
		}
	case errors.Is(err, canon.ErrSchema), errors.Is(err, ErrBadQuery):
		p.Code = problem.Schema
	case errors.Is(err, ErrNotFound):
		p.Code = problem.NotFound
	case errors.Is(err, ErrQueryTooLarge):
		p.Code = problem.Oversize
	case errors.Is(err, export.ErrTimeout), errors.Is(err, context.Canceled):
		p.Code, p.RetryAfter = problem.NotReady, time.Second
	case errors.Is(err, ErrFull), errors.Is(err, ErrClosed):
		p.Code, p.RetryAfter = problem.NotReady, 5*time.Second
	case errors.Is(err, ErrFailed), errors.Is(err, ErrReadOnly):
		p.Code, p.RetryAfter = problem.NotReady, 30*time.Second
	default:
		p.Code = problem.Internal
	}
	return p
}

func writeJSON(w http.ResponseWriter, b []byte) {
	hd := w.Header()
	hd.Set("Content-Type", "application/json")
	hd.Set("Content-Length", strconv.Itoa(len(b)))
	hd.Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the client may be gone
}

func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, []byte("{\"ok\":true}\n"))
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := h.l.health(); err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	writeJSON(w, []byte("{\"ready\":true}\n"))
}
