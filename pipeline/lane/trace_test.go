package lane_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// tracer keeps the spans that end.
type tracer struct {
	noop.Tracer
	mu    sync.Mutex
	spans []*span
	drops bool
}

type span struct {
	noop.Span
	t      *tracer
	name   string
	parent trace.Span
	attrs  map[string]attribute.Value
	code   codes.Code
}

func (t *tracer) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	s := &span{t: t, name: name, parent: trace.SpanFromContext(ctx), attrs: map[string]attribute.Value{}}
	return trace.ContextWithSpan(ctx, s), s
}

func (s *span) IsRecording() bool { return !s.t.drops }

func (s *span) SetAttributes(kv ...attribute.KeyValue) {
	for _, a := range kv {
		s.attrs[string(a.Key)] = a.Value
	}
}

func (s *span) SetStatus(c codes.Code, _ string) { s.code = c }

func (s *span) End(...trace.SpanEndOption) {
	s.t.mu.Lock()
	s.t.spans = append(s.t.spans, s)
	s.t.mu.Unlock()
}

// Each slice has a span with writer, seq and status below its call's, which the exporter finds in its context.
func TestSpans(t *testing.T) {
	for _, drops := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			tr := &tracer{drops: drops}
			ref := newReferee()
			inContext := 0
			ref.behave = func(ctx context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
				if s, ok := trace.SpanFromContext(ctx).(*span); ok && s.name == "accounting.export" {
					inContext++
				}
				if call == 1 {
					return append(ref.sink.PutBatch(ctx, b[:1]), export.Result{Err: remote(500, 0)}), true
				}
				return nil, false
			}
			g := newRig(t, 1, ref, lane.Config{Tracer: tr})
			defer g.close(t)
			items := g.add(t, 0, 2)
			rest(time.Second)
			if inContext != 2 {
				t.Errorf("the exporter saw %d spans, want 2", inContext)
			}
			var slices []*span
			for _, s := range tr.spans {
				if s.name == "accounting.export.slice" {
					slices = append(slices, s)
				}
			}
			if drops {
				if len(slices) != 0 {
					t.Errorf("got %d slice spans below a call that is not sampled", len(slices))
				}
				return
			}
			if len(slices) != 3 {
				t.Fatalf("got %d slice spans, want 3", len(slices))
			}
			for i, want := range []struct {
				seq, attempt int64
				status       string
				code         codes.Code
			}{{0, 1, "ok", codes.Unset}, {1, 1, "retry_remote_5xx", codes.Error}, {1, 2, "ok", codes.Unset}} {
				a := slices[i].attrs
				if a["accounting.seq"].AsInt64() != want.seq || a["accounting.attempt"].AsInt64() != want.attempt || a["accounting.status"].AsString() != want.status ||
					slices[i].code != want.code || a["accounting.writer"].AsString() != g.lanes[0].Stream().Writer.String() ||
					a["accounting.digest"].AsString() != items[want.seq].Slice.Digest().String() || slices[i].parent.(*span).name != "accounting.export" {
					t.Errorf("span %d: got %v, %v, want %+v", i, a, slices[i].code, want)
				}
			}
		})
	}
}
