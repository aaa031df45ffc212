package canon

import (
	"errors"
	"fmt"
)

// ErrChain: slices that do not follow one another. Always carried by a *ChainError.
var ErrChain = errors.New("accounting/canon: chain")

// The rules between a slice and the one before it, named by ChainError.Rule.
const (
	ChainNoSlice   = "a slice, not the zero value"
	ChainStream    = "the same writer, tenant and dimension"
	ChainSeq       = "seq = seq before + 1, or a gap"
	ChainGap       = "gap.from = seq before + 1"
	ChainPrev      = "prev = digest before"
	ChainStart     = "window_start_s never decreases"
	ChainEnd       = "window_end_s never decreases"
	ChainSealedAt  = "sealed_at_ms never decreases"
	ChainBeginning = "the beginning: seq 0, or a gap from 0"
)

// ChainError says which slice does not follow the one before it. It is ErrChain.
type ChainError struct {
	Index     int    // of the slice, among those given
	Seq       uint64 // of the slice
	Rule      string // one of the Chain constants
	Got, Want string
}

func (e *ChainError) Error() string {
	return fmt.Sprintf("%v: slice %d (seq %d): want %s: got %s, want %s", ErrChain, e.Index, e.Seq, e.Rule, e.Got, e.Want)
}

// Unwrap returns ErrChain.
func (e *ChainError) Unwrap() error { return ErrChain }

// VerifyChain checks that the slices, in this order, are consecutive parts of one stream's chain: seq, prev and gap fit,
// and window start, window end and sealed_at never decrease. The first one may stand anywhere in its stream:
// see Chain.FromStart. Every slice has passed Decode or Encode, so its digest is that of its bytes.
func VerifyChain(slices []SealedSlice) error {
	var c Chain
	for i := range slices {
		if err := c.Append(slices[i]); err != nil {
			return err
		}
	}
	return nil
}

// Chain checks one stream slice by slice, so that nobody needs to hold all of it. The zero value takes any first slice.
// After an error it stands where it stood. Not for concurrent use.
type Chain struct {
	FromStart bool // the first slice must be the stream's first: seq 0, or behind a gap that starts at 0

	n    int
	on   bool
	tip  Head
	last Digest
}

// ResumeChain returns a Chain that stands behind a slice with this head and digest.
func ResumeChain(h Head, d Digest) Chain {
	h.Gap, h.Prev = nil, nil // not needed, and they may alias memory of somebody else
	return Chain{on: true, tip: h, last: d}
}

// Tip returns the seq and digest of the last slice; ok is false where there is none.
func (c *Chain) Tip() (seq uint64, d Digest, ok bool) { return c.tip.Seq, c.last, c.on }

// Len returns the number of slices appended.
func (c *Chain) Len() int { return c.n }

// Append checks that s follows the last slice. The error is a *ChainError. It keeps nothing of the bytes of s.
func (c *Chain) Append(s SealedSlice) error {
	if err := c.check(&s); err != nil {
		return err
	}
	c.tip, c.last, c.on = s.head, s.digest, true
	c.tip.Gap, c.tip.Prev = nil, nil
	c.n++
	return nil
}

func (c *Chain) check(s *SealedSlice) error {
	h, p := &s.head, &c.tip
	bad := func(rule string, got, want any) error {
		return &ChainError{Index: c.n, Seq: h.Seq, Rule: rule, Got: fmt.Sprint(got), Want: fmt.Sprint(want)}
	}
	if s.IsZero() {
		return bad(ChainNoSlice, "the zero value", "a slice")
	}
	if !c.on {
		if c.FromStart && h.Prev != nil {
			return bad(ChainBeginning, "prev "+h.Prev.String(), "no prev")
		}
		return nil
	}
	first := p.Seq + 1
	switch {
	case h.Writer != p.Writer:
		return bad(ChainStream, "writer "+h.Writer.String(), p.Writer)
	case h.Tenant != p.Tenant:
		return bad(ChainStream, "tenant "+h.Tenant.String(), p.Tenant)
	case h.Dimension != p.Dimension:
		return bad(ChainStream, "dimension "+h.Dimension, p.Dimension)
	case h.Gap == nil && h.Seq != first:
		return bad(ChainSeq, h.Seq, first)
	case h.Gap != nil && h.Gap.From != first:
		return bad(ChainGap, h.Gap.From, first)
	case h.Prev == nil:
		return bad(ChainPrev, "null", c.last)
	case *h.Prev != c.last:
		return bad(ChainPrev, *h.Prev, c.last)
	case h.WindowStartS < p.WindowStartS:
		return bad(ChainStart, h.WindowStartS, fmt.Sprintf(">= %d", p.WindowStartS))
	case h.WindowEndS < p.WindowEndS:
		return bad(ChainEnd, h.WindowEndS, fmt.Sprintf(">= %d", p.WindowEndS))
	case h.SealedAtMS < p.SealedAtMS:
		return bad(ChainSealedAt, h.SealedAtMS, fmt.Sprintf(">= %d", p.SealedAtMS))
	}
	return nil
}
