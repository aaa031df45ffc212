package adapter

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// Adapter answers the requests. It is an http.Handler, safe for concurrent use.
type Adapter struct {
	o        Options
	mux      *http.ServeMux
	tokens   atomic.Pointer[token.Ring]
	inflight inflight
	meters   meters
	dims     map[string]int
}

// New validates o and returns an adapter.
func New(o Options) (*Adapter, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	a := &Adapter{o: o, mux: http.NewServeMux(), dims: map[string]int{},
		inflight: inflight{maxBytes: o.MaxInflightBytes, maxN: o.MaxInflight, of: map[string]*held{}}}
	a.tokens.Store(o.Tokens)
	a.meters.init(a)
	for i, name := range o.Dimensions {
		a.dims[name] = i
	}
	a.route("/export", "POST", a.guarded(a.export))
	if o.Record != nil {
		a.route("/record", "POST", a.guarded(a.record))
	}
	a.route("/readyz", "GET", a.readyz)
	a.route("/healthz", "GET", alive)
	a.route("/livez", "GET", alive)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.answer(w, "other", time.Now(), refuse(problem.NotFound, "", "no resource %.200q", r.URL.Path))
	})
	return a, nil
}

// SetTokens replaces the root keys.
func (a *Adapter) SetTokens(r *token.Ring) { a.tokens.Store(r) }

// ServeHTTP implements http.Handler.
func (a *Adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// handler answers a request, or returns why not. The code of a success is "ok" or "dup".
type handler func(w http.ResponseWriter, r *http.Request) (code string, f *refusal)

func (a *Adapter) route(path, method string, h handler) {
	a.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		if r.Method != method && (method != "GET" || r.Method != "HEAD") {
			w.Header().Set("Allow", method)
			a.answer(w, path, start, refuse(problem.Method, "", "got %.20q, want %s", r.Method, method))
			return
		}
		code, f := h(w, r)
		if f != nil {
			a.answer(w, path, start, f)
			return
		}
		a.meters.done(path, code, start)
	})
}

// answer refuses a request and counts that.
func (a *Adapter) answer(w http.ResponseWriter, route string, start time.Time, f *refusal) {
	if f.reason != "" {
		a.o.Metrics.Rejected.WithLabelValues(f.reason).Inc()
	}
	switch f.Code {
	case problem.Unauth:
		w.Header().Set("WWW-Authenticate", "Bearer")
		fallthrough
	case problem.Forbidden:
		a.o.Metrics.AuthFail.Inc()
	case problem.Internal:
		a.o.Logger.Error("internal error", "route", route)
	}
	problem.Write(w, f.Problem)
	a.meters.done(route, string(f.Code), start)
}

// guarded runs h for those who may, while there is room for their bodies.
func (a *Adapter) guarded(h func(http.ResponseWriter, *http.Request, *principal) (string, *refusal)) handler {
	return func(w http.ResponseWriter, r *http.Request) (string, *refusal) {
		p, f := a.who(r)
		if f != nil {
			return "", f
		}
		claim := int64(maxBody)
		if n := r.ContentLength; n >= 0 && n < maxBody && r.Header.Get("Content-Encoding") == "" {
			claim = n
		}
		if !a.inflight.claim(p.name, claim) {
			return "", refuse(problem.Busy, "busy", "too many bodies in flight")
		}
		defer a.inflight.release(p.name, claim)
		return h(w, r, &p)
	}
}

// deadline is a request's time for what follows its body. A client that has closed its half of the connection still gets its answer, so
// the request's own context does not count.
func (a *Adapter) deadline(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), a.o.OpDeadline)
}

// digestHeader carries a slice's digest beside its bytes.
const digestHeader = "Ron-B3"

func (a *Adapter) export(w http.ResponseWriter, r *http.Request, p *principal) (string, *refusal) {
	if _, f := mediaType(r.Header, canon.MediaType); f != nil {
		return "", f
	}
	given := r.Header.Values(digestHeader)
	b, f := receive(w, r)
	if f != nil {
		return "", f
	}
	if a.o.MaxSlice != nil {
		if most := a.o.MaxSlice(); len(b.b) > most {
			f := refuse(problem.Oversize, reasonOversize, "got a slice of %d bytes, the sink takes at most %d", len(b.b), most)
			b.free()
			return "", f
		}
	}
	s, err := canon.View(b.b)
	switch {
	case err != nil:
		f = refusalOf(err)
	case len(given) > 1 || len(given) == 1 && given[0] != s.Digest().String():
		f = refuse(problem.Schema, "", "%s: got %.100q, want the body's digest %v", digestHeader, strings.Join(given, ", "), s.Digest())
	default:
		f = p.may(s.Head().Tenant, s.Head().Dimension)
	}
	if f != nil {
		b.free()
		return "", f
	}
	seq, digest := s.Head().Seq, s.Digest()
	ctx, cancel := a.deadline(r)
	defer cancel()
	ack, err := a.o.Queue.Put(ctx, s, b.free)
	if err != nil {
		return "", refusalOf(err)
	}
	writeAck(w, ack, seq, digest)
	return ack.String(), nil
}

func writeAck(w http.ResponseWriter, ack export.Ack, seq uint64, d canon.Digest) {
	out := append(make([]byte, 0, 160), `{"ack":"`...)
	out = append(append(out, ack.String()...), `","seq":"`...)
	out = append(strconv.AppendUint(out, seq, 10), `","b3":"`...)
	out = append(append(out, d.String()...), "\"}\n"...)
	writeJSON(w, http.StatusAccepted, out)
}

func writeJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

var jsonType, noStore = []string{"application/json"}, []string{"no-store"}
