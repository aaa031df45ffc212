package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// shaky stands before a ledger: it fails, loses the answer to what it stored, and is down for whole lives of the process.
type shaky struct {
	*tipLedger
	mu   sync.Mutex
	rand *rand.Rand
	down bool
	calm bool
}

func (s *shaky) fate() (before, after error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.rand.IntN(10); {
	case s.calm:
	case s.down, n < 2:
		before = errDown
	case n < 4:
		after = &export.RemoteError{Op: "put", Err: errors.New("the answer is lost")}
	}
	return before, after
}

func (s *shaky) Put(ctx context.Context, x canon.SealedSlice) (export.Ack, error) {
	before, after := s.fate()
	if before != nil {
		return 0, before
	}
	if _, _, held, _ := s.Tip(ctx, export.StreamOf(x.Head())); !held && x.Head().Seq != 0 && x.Head().Gap == nil {
		return 0, export.ErrGap // the plain one takes a chain from anywhere
	}
	ack, err := s.tipLedger.Put(ctx, x)
	if err == nil && after != nil {
		return 0, after
	}
	return ack, err
}

// deafTip hides Tip.
type deafTip struct{ export.Exporter }

// TestSinksModel: whatever several sinks do, over restarts, the required ones end with all of it, the optional ones with a beginning of each chain, and
// nothing is held for them.
func TestSinksModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 6))
			var all []*shaky
			for i := range uint64(4) {
				all = append(all, &shaky{tipLedger: &tipLedger{}, rand: rand.New(rand.NewPCG(seed, i))})
			}
			o := macronode(t.TempDir())
			o.LaneCapacity, o.PendingSlices = 4+rnd.IntN(8), 8+rnd.IntN(16)
			o.Sinks = []export.Sink{
				{Name: "a", Exporter: all[0], Required: true}, {Name: "b", Exporter: deafTip{all[1]}, Required: true},
				{Name: "c", Exporter: all[2]}, {Name: "d", Exporter: deafTip{all[3]}},
			}
			counted := uint64(0)
			for life := range 6 {
				for _, s := range all {
					s.mu.Lock()
					s.down, s.calm = rnd.IntN(4) == 0, life == 5
					s.mu.Unlock()
				}
				p, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				for range 1 + rnd.IntN(12) {
					for tenant := range uint64(3) {
						if rnd.IntN(2) == 0 {
							p.count(t, tenant, uint64(rnd.IntN(3)), 1)
							counted++
						}
					}
					p.mustSeal(t)
					if rnd.IntN(3) == 0 {
						time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
					}
				}
				balanced(t, p)
				if life == 5 {
					flush(t, p)
					for end := time.Now().Add(5 * time.Second); p.wal.Stats().Entries != 0; time.Sleep(time.Millisecond) {
						if time.Now().After(end) {
							t.Fatalf("%d entries are left in the WAL", p.wal.Stats().Entries)
						}
					}
					if r := p.Readiness(); !r.Ready {
						t.Errorf("%+v: %v", r, p.ready.reasons())
					}
					p.mustClose(t)
					break
				}
				p.closeUnsealed(t)
			}
			for i, s := range all {
				if got := s.units(); i < 2 && got != counted || got > counted {
					t.Errorf("sink %d holds %d of %d units", i, got, counted)
				}
				for name, c := range s.chains {
					for n, x := range c {
						if want := all[0].chains[name]; n >= len(want) || want[n].Digest() != x.Digest() {
							t.Errorf("sink %d: stream %v: slice %d is not the one of the first sink", i, name, n)
						}
					}
				}
			}
		})
	}
}

// closeUnsealed closes a pipeline whose sinks need not have taken all, but leaves nothing uncounted: what is open has to be sealed into the WAL.
func (p *Pipeline) closeUnsealed(t *testing.T) {
	t.Helper()
	err := p.Close(context.Background())
	var de *DrainError
	if errors.As(err, &de) && len(de.Unsealed) > 0 {
		t.Fatalf("not sealed at Close: %v", de.Unsealed)
	}
}
