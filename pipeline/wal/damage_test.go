package wal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// honest checks what is promised of any damage: an entry that was accepted is pending as it was, or in a hole; a used seq is known as used, or the
// writer is another; nothing superseded comes back, and a hole's units, where told, are those of what is missing.
func (m *model) honest(rec *Recovered) error {
	holes := map[Stream][]Hole{}
	for _, h := range rec.Holes {
		holes[h.Stream] = append(holes[h.Stream], h)
	}
	in := func(key Stream, seq uint64) bool {
		for _, h := range holes[key] {
			if h.From <= seq && seq <= h.To {
				return true
			}
		}
		return false
	}
	pending := map[Stream]map[uint64]bool{}
	for i := range rec.Pending {
		p := &rec.Pending[i]
		s := m.streams[p.Stream]
		if s == nil || p.Seq >= s.next || p.Digest != s.digests[p.Seq] {
			return fmt.Errorf("%v seq %d is pending and was never accepted so", p.Stream, p.Seq)
		}
		// With its ack lost it is offered to a ledger that is beyond it; with the commit lost that superseded it, it is in no other slice that is there.
		if s.superseded[p.Seq] && p.Seq >= s.acked && !rec.NewWriter {
			return fmt.Errorf("%v seq %d is pending and was superseded", p.Stream, p.Seq)
		}
		if in(p.Stream, p.Seq) {
			return fmt.Errorf("%v seq %d is pending and in a hole", p.Stream, p.Seq)
		}
		if pending[p.Stream] == nil {
			pending[p.Stream] = map[uint64]bool{}
		}
		pending[p.Stream][p.Seq] = true
	}
	heads := map[Stream]uint64{}
	for _, h := range rec.Heads {
		heads[h.Stream] = h.Next
	}
	for key, s := range m.streams {
		if heads[key] > s.next || heads[key] < s.next && !rec.NewWriter {
			return fmt.Errorf("%v: got next seq %d, want %d; new writer %v", key, heads[key], s.next, rec.NewWriter)
		}
		for seq := s.acked; seq < heads[key]; seq++ {
			if !s.superseded[seq] && !pending[key][seq] && !in(key, seq) {
				return fmt.Errorf("%v seq %d is neither pending nor in a hole", key, seq)
			}
		}
	}
	for _, h := range rec.Holes {
		var units Units
		gone := false
		for seq := h.From; seq <= h.To; seq++ {
			gone = gone || m.streams[h.Stream].superseded[seq] || seq < m.streams[h.Stream].acked
			units = units.Add(UnitsOf(seq + 1))
		}
		if h.UnitsKnown && h.Units != units && !gone {
			return fmt.Errorf("hole %+v: want units %v", h, units)
		}
	}
	if rec.StateKnown && rec.Epoch > 0 && rec.File != stateN(rec.Epoch) {
		return fmt.Errorf("epoch %d: got file state %+v", rec.Epoch, rec.File)
	}
	return nil
}

// TestAnyDamage overwrites, cuts and removes parts of logs of many segments.
func TestAnyDamage(t *testing.T) {
	rounds := 3000
	if raceEnabled || testing.Short() {
		rounds = 300
	}
	rng := rand.New(rand.NewPCG(5, 5))
	kept := 0
	for round := 0; round < rounds && !t.Failed(); {
		disk := vfs.NewCrash("/var")
		o := testOptions(disk)
		o.SegmentBytes = 4 << 10
		l, rec := mustOpen(t, o)
		m := newModel(rec.Writer)
		for range 10 + rng.IntN(30) {
			c := m.randomCommit(rng)
			mustAppend(t, l, c)
			m.apply(c)
			if rng.IntN(3) == 0 {
				for key, s := range m.streams {
					if s.next > s.acked && rng.IntN(2) == 0 {
						m.ack(key, s.next-1)
						l.Ack(key, s.next-1)
					}
				}
				if err := l.Maintain(); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustClose(t, l)
		in, err := Inspect(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			round++
			o.FS = disk.Fork()
			what := harm(t, o.FS, in.Segments, rng)
			l, rec, err := Open(o, testIdentity)
			if err != nil {
				t.Fatalf("round %d, %s: %v", round, what, err)
			}
			if err := m.honest(rec); err != nil {
				t.Errorf("round %d, %s: %v", round, what, err)
				dump(t, disk)
			}
			checkBodies(t, l, rec)
			if !rec.NewWriter {
				kept++
			}
			_ = l.release()
		}
	}
	if kept < rounds/2 {
		t.Errorf("%d of %d damaged logs kept their writer, want most", kept, rounds)
	}
}

// harm damages one to three places, but for the last mark: without that, a damaged last commit is a torn one.
func harm(t *testing.T, fsys vfs.FS, segments []SegmentInfo, rng *rand.Rand) (what string) {
	t.Helper()
	for range 1 + rng.IntN(3) {
		k := rng.IntN(len(segments))
		s, last := segments[k], k == len(segments)-1
		name := filepath.Join(testDir, segName(s.Number))
		f, err := fsys.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // removed before
		}
		end := s.End
		if last {
			end -= markSize
		}
		from := rng.Int64N(end)
		to := min(end, from+1+rng.Int64N([]int64{1, 20, 300, 3000}[rng.IntN(4)]))
		switch kind := rng.IntN(12); {
		case kind == 0 && !last:
			what += fmt.Sprintf("segment %d removed; ", s.Number)
			err = fsys.Remove(name)
		case kind == 1 && !last:
			what += fmt.Sprintf("segment %d cut at %d; ", s.Number, from)
			err = f.Truncate(from)
		default:
			what += fmt.Sprintf("segment %d overwritten from %d to %d; ", s.Number, from, to)
			b := make([]byte, to-from)
			if kind%2 == 0 {
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
			}
			_, err = f.WriteAt(b, from)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return what
}
