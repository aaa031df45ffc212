package lane_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// wild panics whatever is done with it.
type wild struct{}

func (wild) Error() string   { panic("Error panics") }
func (wild) Is(error) bool   { panic("Is panics") }
func (wild) Unwrap() []error { panic("Unwrap panics") }

// An exporter's error may be a typed nil, or panic when it is looked at: that fails the attempt, not the host.
func TestErrorsThatPanic(t *testing.T) {
	for name, err := range map[string]error{
		"nil RemoteError":  (*export.RemoteError)(nil),
		"nil RefusedError": (*export.RefusedError)(nil),
		"wild":             wild{},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ref := newReferee()
				ref.behave = func(_ context.Context, call int, b []canon.SealedSlice) ([]export.Result, bool) {
					return all(len(b), err), call == 1
				}
				g := newRig(t, 1, ref, lane.Config{Workers: 1})
				defer g.close(t)
				g.add(t, 0, 2)
				synctest.Wait()
				if s := g.lanes[0].Status(); s.Err != nil {
					_ = s.Err.Error()
				}
				rest(5 * time.Second)
				if err := g.check(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
