package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

// faulty is a memory sink behind a bad line.
type faulty struct {
	*memory.Sink
	mu    sync.Mutex
	fault func(context.Context, func()) error
}

func (f *faulty) PutBatch(ctx context.Context, b []canon.SealedSlice) (out []export.Result) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault == nil {
		return f.Sink.PutBatch(ctx, b)
	}
	if err := fault(ctx, func() { out = f.Sink.PutBatch(ctx, b) }); err != nil {
		out = make([]export.Result, len(b))
		for i := range out {
			out[i].Err = err
		}
	}
	return out
}

func (f *faulty) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	r := f.PutBatch(ctx, []canon.SealedSlice{s})
	return r[0].Ack, r[0].Err
}

func (f *faulty) set(fault func(context.Context, func()) error) {
	f.mu.Lock()
	f.fault = fault
	f.mu.Unlock()
}

// wait ends with the context, as an exporter says it.
func wait(ctx context.Context) error {
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return export.ErrTimeout
	}
	return ctx.Err()
}

func TestConformance(t *testing.T) {
	exporttest.Run(t, func(t *testing.T) *exporttest.Harness {
		f := &faulty{Sink: memory.New(memory.Options{Keep: true, Verify: true})}
		t.Cleanup(func() {
			if err := f.Check(); err != nil {
				t.Error(err)
			}
		})
		return &exporttest.Harness{
			Sink:    f,
			Another: func() exporttest.Sink { return f.Sink },
			Held: func(s export.Stream) (out []canon.SealedSlice) {
				for sl, err := range f.Slices(s) {
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, sl)
				}
				return out
			},
			Inject: func(kind exporttest.Fault) func() {
				f.set(func(ctx context.Context, put func()) error {
					switch kind {
					case exporttest.LoseReply:
						put()
						return wait(ctx)
					case exporttest.Hang:
						return wait(ctx)
					case exporttest.Unavailable:
						return &export.RemoteError{Op: "put", Status: 503, Err: errors.New("test")}
					}
					time.Sleep(300 * time.Millisecond)
					put()
					return nil
				})
				return func() { f.set(nil) }
			},
		}
	})
}

// A value that does not match its bytes is refused where Verify is set.
func TestVerify(t *testing.T) {
	m := memory.New(memory.Options{Verify: true})
	s := exporttest.NewChain(exporttest.Stream("verify", 0), 1).Next()
	bad, err := canon.ViewSummed(s.Bytes(), canon.Digest{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(context.Background(), bad); !errors.Is(err, canon.ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
	if st := m.Stats(); st.Bad != 1 || st.OK != 0 {
		t.Errorf("got %+v", st)
	}
}
