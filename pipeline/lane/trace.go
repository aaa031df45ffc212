package lane

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traceCall starts the span of a call, which the exporter finds in its context, and returns the function that ends it: then
// each slice gets its span below, with writer, dimension, seq and status, over the time of the call. Without a tracer, or where the sampler
// drops the call, slices cost nothing.
func (r *Router) traceCall(ctx context.Context, b *batch) (context.Context, func(*batch)) {
	if r.cfg.Tracer == nil {
		return ctx, func(*batch) {}
	}
	ctx, span := r.cfg.Tracer.Start(ctx, "accounting.export", trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(b.wall))
	if !span.IsRecording() {
		return ctx, func(*batch) { span.End() }
	}
	span.SetAttributes(attribute.String("accounting.sink", r.cfg.Sink.Name), attribute.Int("accounting.slices", len(b.slices)),
		attribute.Int("accounting.streams", len(b.runs)), attribute.Bool("accounting.probe", b.probe))
	return ctx, func(b *batch) {
		end := time.Now()
		for i, at := range b.sent {
			r.traceSlice(ctx, b, i, at, end)
		}
		span.End(trace.WithTimestamp(end))
	}
}

func (r *Router) traceSlice(ctx context.Context, b *batch, i, at int, end time.Time) {
	h, it, res := b.slices[i].Head(), b.items[at], b.results[at]
	_, span := r.cfg.Tracer.Start(ctx, "accounting.export.slice", trace.WithTimestamp(b.wall))
	status := res.Ack.String()
	if res.Err != nil {
		status = classify(res.Err).class.String()
		span.SetStatus(codes.Error, res.Err.Error())
	}
	span.SetAttributes(attribute.String("accounting.writer", h.Writer.String()), attribute.String("accounting.dimension", h.Dimension),
		attribute.Int64("accounting.seq", int64(h.Seq)), attribute.String("accounting.digest", b.slices[i].Digest().String()),
		attribute.Int("accounting.attempt", it.Attempts), attribute.String("accounting.status", status))
	span.End(trace.WithTimestamp(end))
}
