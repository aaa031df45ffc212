// Package memory is a sink that holds its slices in memory and checks every chain: for tests, dry runs and
// `benchrig run --sink memory`. It is as strict as the reference ledger and forgets everything with the process.
package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Options of a Sink; the zero value keeps digests only.
type Options struct {
	Keep   bool // keep the slices' bytes, for Slices
	Verify bool // decode each slice strictly and compute its digest anew, instead of believing the value given
}

// Sink implements export.BatchExporter and export.Tipper. Safe for concurrent use.
type Sink struct {
	o Options

	mu      sync.Mutex
	streams map[export.Stream]*stream
	stats   Stats
}

type stream struct {
	chain canon.Chain
	held  []held // ascending by seq
}

type held struct {
	seq    uint64
	digest canon.Digest
	bytes  []byte // with Keep
}

// Stats counts what a sink was asked, in slices.
type Stats struct {
	Streams            int
	OK, Dup            int
	Gap, Conflict, Bad int
	Bytes              int64 // of the slices stored
}

// New returns an empty sink.
func New(o Options) *Sink { return &Sink{o: o, streams: make(map[export.Stream]*stream)} }

// Put stores s if it is its stream's next slice.
func (m *Sink) Put(ctx context.Context, s canon.SealedSlice) (export.Ack, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.put(s)
	return r.Ack, r.Err
}

// PutBatch stores the slices in their order. A failure fails what follows it in its own stream only.
func (m *Sink) PutBatch(ctx context.Context, batch []canon.SealedSlice) []export.Result {
	out := make([]export.Result, len(batch))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range batch {
		if err := ctx.Err(); err != nil {
			out[i].Err = err
			continue
		}
		out[i] = m.put(s)
	}
	return out
}

func (m *Sink) put(s canon.SealedSlice) (r export.Result) {
	if m.o.Verify {
		v, err := canon.View(s.Bytes())
		if err == nil && v.Digest() != s.Digest() {
			err = fmt.Errorf("%w: digest: got %v, want %v", canon.ErrSchema, s.Digest(), v.Digest())
		}
		if err != nil {
			m.stats.Bad++
			return export.Result{Err: err}
		}
	}
	h := s.Head()
	name := export.StreamOf(h)
	st := m.streams[name]
	if st == nil {
		st = &stream{chain: canon.Chain{FromStart: true}}
	}
	if tip, _, ok := st.chain.Tip(); ok && h.Seq <= tip {
		if at, found := st.find(h.Seq); found && st.held[at].digest == s.Digest() {
			m.stats.Dup++
			return export.Result{Ack: export.AckDuplicate}
		}
		m.stats.Conflict++
		return export.Result{Err: st.refusal(export.ErrConflict, name, h.Seq)}
	}
	if err := st.chain.Append(s); err != nil {
		var ce *canon.ChainError
		if errors.As(err, &ce) {
			switch ce.Rule {
			case canon.ChainSeq, canon.ChainGap, canon.ChainPrev, canon.ChainBeginning:
				m.stats.Gap++
				return export.Result{Err: st.refusal(export.ErrGap, name, h.Seq)}
			}
		}
		m.stats.Bad++
		return export.Result{Err: fmt.Errorf("%w: %w", canon.ErrSchema, err)}
	}
	e := held{seq: h.Seq, digest: s.Digest()}
	if m.o.Keep {
		e.bytes = slices.Clone(s.Bytes())
	}
	st.held = append(st.held, e)
	if len(st.held) == 1 {
		name.Dimension = string([]byte(name.Dimension)) // not the caller's memory
		m.streams[name] = st
	}
	m.stats.OK++
	m.stats.Bytes += int64(len(s.Bytes()))
	return export.Result{Ack: export.AckOK}
}

func (s *stream) find(seq uint64) (int, bool) {
	if seq < uint64(len(s.held)) && s.held[seq].seq == seq {
		return int(seq), true // no gap before it
	}
	return slices.BinarySearchFunc(s.held, seq, func(h held, seq uint64) int {
		switch {
		case h.seq < seq:
			return -1
		case h.seq > seq:
			return 1
		}
		return 0
	})
}

func (s *stream) refusal(kind error, name export.Stream, seq uint64) error {
	e := &export.RefusedError{Kind: kind, Stream: name, Seq: seq}
	if e.TipSeq, e.TipDigest, e.TipOK = s.chain.Tip(); e.TipOK {
		e.ExpectedSeq = e.TipSeq + 1
	}
	return e
}

// Tip returns the last slice of a stream.
func (m *Sink) Tip(ctx context.Context, name export.Stream) (seq uint64, d canon.Digest, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, d, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if st := m.streams[name]; st != nil {
		seq, d, ok = st.chain.Tip()
	}
	return seq, d, ok, nil
}

// Stats returns what the sink was asked so far.
func (m *Sink) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Streams = len(m.streams)
	return s
}

// Streams returns the streams that have slices, in no order.
func (m *Sink) Streams() []export.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]export.Stream, 0, len(m.streams))
	for name := range m.streams {
		out = append(out, name)
	}
	return out
}

// Slices returns a stream's slices in order, as they are now, each decoded anew from its bytes. It needs Options.Keep.
func (m *Sink) Slices(name export.Stream) iter.Seq2[canon.SealedSlice, error] {
	m.mu.Lock()
	var all []held
	if st := m.streams[name]; st != nil {
		all = slices.Clone(st.held)
	}
	m.mu.Unlock()
	return func(yield func(canon.SealedSlice, error) bool) {
		for _, h := range all {
			s, err := canon.Decode(h.bytes)
			if !yield(s, err) {
				return
			}
		}
	}
}

// Check decodes everything that is held anew and verifies every chain from its start. It needs Options.Keep.
func (m *Sink) Check() error {
	for _, name := range m.Streams() {
		chain := canon.Chain{FromStart: true}
		for s, err := range m.Slices(name) {
			if err == nil {
				err = chain.Append(s)
			}
			if err != nil {
				return fmt.Errorf("accounting/memory: stream %v: %w", name, err)
			}
		}
	}
	return nil
}
