package wal

import (
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/ron-accounting/ron-accounting/canon"
)

// model is a log that can't fail: what must be found again. Streams carry the writer that they were made by.
type model struct {
	writer    canon.ID
	epoch     uint64
	streams   map[Stream]*modelStream
	unsettled *Commit // its Append has not returned, or not with certainty
}

type modelStream struct {
	next, acked uint64
	digests     []canon.Digest
	superseded  map[uint64]bool
	units       Units
}

func newModel(writer canon.ID) *model {
	return &model{writer: writer, streams: map[Stream]*modelStream{}}
}

func (m *model) clone() *model {
	c := *m
	c.streams = make(map[Stream]*modelStream, len(m.streams))
	for k, s := range m.streams {
		t := *s
		t.digests = append([]canon.Digest(nil), s.digests...)
		t.superseded = maps.Clone(s.superseded)
		c.streams[k] = &t
	}
	return &c
}

// apply takes a commit as durable.
func (m *model) apply(c *Commit) {
	for i := range c.Entries {
		e := &c.Entries[i]
		key := e.Stream
		key.Writer = m.writer
		s := m.streams[key]
		if s == nil {
			s = &modelStream{superseded: map[uint64]bool{}}
			m.streams[key] = s
		}
		for uint64(len(s.digests)) < e.Seq { // seqs that a gap skips
			s.superseded[uint64(len(s.digests))] = true
			s.digests = append(s.digests, canon.Digest{})
		}
		if e.HasGap {
			for q := e.GapFrom; q < e.Seq; q++ {
				s.superseded[q] = true
			}
		}
		s.digests = append(s.digests, e.Digest)
		s.next = e.Seq + 1
		s.units = s.units.Add(e.Units)
	}
	m.epoch = c.Epoch
}

// ack is what Log.Ack does.
func (m *model) ack(key Stream, seq uint64) {
	if s := m.streams[key]; s != nil && seq < s.next && seq >= s.acked {
		s.acked = seq + 1
	}
}

// diff compares what was recovered with the model: nothing that was accepted is missing, nothing is there that was not. Acks may have been lost
// (lax), never invented. The unsettled commit is there as a whole or not at all: the model then takes it.
func (m *model) diff(rec *Recovered, lax bool) error {
	if u := m.unsettled; u != nil && rec.Epoch == u.Epoch {
		m.apply(u)
	}
	m.unsettled = nil
	if rec.Epoch != m.epoch {
		return fmt.Errorf("epoch: got %d, want %d", rec.Epoch, m.epoch)
	}
	if m.epoch > 0 && (!rec.StateKnown || rec.File != stateN(m.epoch)) {
		return fmt.Errorf("file state: got %+v (known %v), want %+v", rec.File, rec.StateKnown, stateN(m.epoch))
	}
	if rec.Writer != m.writer {
		return fmt.Errorf("writer: got %v, want %v", rec.Writer, m.writer)
	}
	if len(rec.Damage)+len(rec.Holes) > 0 {
		return fmt.Errorf("got damage %v, holes %v, want none", rec.Damage, rec.Holes)
	}
	pending := map[Stream]map[uint64]canon.Digest{}
	for i := range rec.Pending {
		p := &rec.Pending[i]
		if pending[p.Stream] == nil {
			pending[p.Stream] = map[uint64]canon.Digest{}
		}
		pending[p.Stream][p.Seq] = p.Digest
	}
	for key, got := range pending {
		s := m.streams[key]
		for seq, d := range got {
			switch {
			case s == nil || seq >= s.next:
				return fmt.Errorf("%v seq %d is pending and was never accepted", key, seq)
			case s.superseded[seq]:
				return fmt.Errorf("%v seq %d is pending and was superseded", key, seq)
			case seq < s.acked && !lax:
				return fmt.Errorf("%v seq %d is pending and was acked", key, seq)
			case d != s.digests[seq]:
				return fmt.Errorf("%v seq %d: got digest %v, want %v", key, seq, d, s.digests[seq])
			}
		}
	}
	for key, s := range m.streams {
		for seq := s.acked; seq < s.next; seq++ {
			if _, ok := pending[key][seq]; !ok && !s.superseded[seq] {
				return fmt.Errorf("%v seq %d is lost", key, seq)
			}
		}
	}
	heads := map[Stream]Head{}
	for _, h := range rec.Heads {
		heads[h.Stream] = h
	}
	for key, s := range m.streams {
		h, ok := heads[key]
		if !ok && key.Writer != m.writer && s.acked == s.next {
			continue // an earlier writer's finished chain is forgotten
		}
		if h.Next != s.next || !h.Known || h.Digest != s.digests[s.next-1] || h.Units != s.units {
			return fmt.Errorf("%v: got head %+v, want next %d, units %v", key, h, s.next, s.units)
		}
		if h.Acked > s.acked && !s.superseded[h.Acked-1] || !lax && h.Acked < s.acked {
			return fmt.Errorf("%v: got acked %d, want %d", key, h.Acked, s.acked)
		}
	}
	return nil
}

// randomCommit makes a commit for the model's next epoch: some streams, now and then two slices of one, or one behind a gap.
func (m *model) randomCommit(rng *rand.Rand) *Commit {
	c := &Commit{Epoch: m.epoch + 1, File: stateN(m.epoch + 1)}
	for range rng.IntN(4) {
		i := rng.IntN(5)
		key := streamN(i)
		key.Writer = m.writer
		seq, acked := uint64(0), uint64(0)
		if s := m.streams[key]; s != nil {
			seq, acked = s.next, s.acked
		}
		for k := range c.Entries {
			if c.Entries[k].Stream == streamN(i) {
				seq = c.Entries[k].Seq + 1
			}
		}
		gap := seq > acked && rng.IntN(8) == 0
		if gap {
			seq += uint64(rng.IntN(2))
		}
		e := entryN(i, seq, 20+rng.IntN(600))
		if gap {
			e.HasGap, e.GapFrom = true, acked
		}
		c.Entries = append(c.Entries, e)
	}
	return c
}

// pending counts the entries that are not acked.
func (m *model) pending() (n int) {
	for _, s := range m.streams {
		for seq := s.acked; seq < s.next; seq++ {
			if !s.superseded[seq] {
				n++
			}
		}
	}
	return n
}

// anySource returns a fixed source of randomness, for clones that keep nothing or everything.
func anySource() *rand.Rand { return rand.New(rand.NewPCG(0, 0)) }
