package ledger

import (
	"fmt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// verdict is what a stream's tip has to say about a slice.
type verdict uint8

const (
	takes  verdict = iota // it is the next one
	behind                // its seq is at or below the tip: a duplicate or a conflict
	gap                   // something is missing before it, or its predecessor is not the tip
)

// judge applies the chain's rules to a canonical head. The error is canon.ErrSchema: the slice fits, but its times run back.
func (t *tip) judge(h *canon.Head) (verdict, error) {
	held := t.count > 0
	if held && h.Seq <= t.seq {
		return behind, nil
	}
	first := h.Seq // the first seq that the slice accounts for
	if h.Gap != nil {
		first = h.Gap.From
	}
	if first != t.expected() {
		return gap, nil
	}
	if held != (h.Prev != nil) || held && *h.Prev != t.digest {
		return gap, nil
	}
	for _, x := range [...]struct {
		name       string
		got, least uint64
	}{
		{"window_start_s", h.WindowStartS, t.winStart},
		{"window_end_s", h.WindowEndS, t.winEnd},
		{"sealed_at_ms", h.SealedAtMS, t.sealedAt},
	} {
		if held && x.got < x.least {
			return takes, fmt.Errorf("%w: stream %v seq %d: %s: got %d, want at least the tip's %d",
				canon.ErrSchema, export.StreamOf(*h), h.Seq, x.name, x.got, x.least)
		}
	}
	return takes, nil
}

// expected is the seq that the stream's next slice must account for first.
func (t *tip) expected() uint64 {
	if t.count == 0 {
		return 0
	}
	return t.seq + 1
}

func (t *tip) refusal(kind error, s export.Stream, seq uint64) *export.RefusedError {
	return &export.RefusedError{Kind: kind, Stream: s, Seq: seq, ExpectedSeq: t.expected(),
		TipOK: t.count > 0, TipSeq: t.seq, TipDigest: t.digest}
}

// extend returns the header of the record that a slice becomes behind t, and lets t be the tip after it. at is where the
// record will be; jumpOf says where the record at a place jumps to.
//
// The jump is Myers': if the last two jumps are equally long, the new record jumps over both, else to its predecessor.
// So the lengths are the digits of a skew binary number, and O(log n) hops reach any record.
func (t *tip) extend(s *canon.SealedSlice, h *canon.Head, at place, jumpOf func(place) (uint64, place, error)) (header, error) {
	r := header{size: uint32(len(s.Bytes())), stream: t.number, index: t.count, seq: h.Seq, winStart: h.WindowStartS, winEnd: h.WindowEndS,
		prev: t.at, digest: s.Digest()}
	r.units.lo, r.units.hi = s.Units()
	next, nextIndex := place{}, uint64(0)
	switch last := t.count - 1; {
	case t.count == 0: // no predecessor, no jump
	case t.jump.chunk != 0 && t.next.chunk != 0 && last-t.jumpIndex == t.jumpIndex-t.nextIndex:
		r.jump, r.jumpIndex = t.next, t.nextIndex
		var err error
		if nextIndex, next, err = jumpOf(t.next); err != nil {
			return r, err
		}
	default:
		r.jump, r.jumpIndex = t.at, last
		next, nextIndex = t.jump, t.jumpIndex
	}
	t.jump, t.jumpIndex, t.next, t.nextIndex = r.jump, r.jumpIndex, next, nextIndex
	t.at, t.count, t.seq, t.digest = at, t.count+1, h.Seq, r.digest
	t.sealedAt, t.winStart, t.winEnd = h.SealedAtMS, h.WindowStartS, h.WindowEndS
	if h.Gap != nil {
		t.gaps++
	}
	return r, nil
}
