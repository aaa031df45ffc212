package canon

import (
	"errors"
	"testing"
)

// chainOf encodes heads as one chain: seqs, prevs and digests are filled in where the head leaves them out.
func chainOf(t *testing.T, heads ...Head) (out []SealedSlice) {
	t.Helper()
	for i, h := range heads {
		h.V, h.Dimension = 1, "bytes"
		if i > 0 && h.Prev == nil && (h.Gap == nil || h.Gap.From > 0) {
			h.Prev = new(out[i-1].Digest())
		}
		out = append(out, must[SealedSlice](t)(Encode(h, []Row{{Inc: uint64(i + 1)}})))
	}
	return out
}

func TestVerifyChain(t *testing.T) {
	w := func(seq, sealed, start, end uint64) Head {
		return Head{Seq: seq, SealedAtMS: sealed, WindowStartS: start, WindowEndS: end}
	}
	gap := func(h Head, from, to uint64) Head { h.Gap = &Gap{From: from, To: to, Reason: "shed"}; return h }
	other := func(h Head, f func(*Head)) Head { f(&h); return h }
	cases := []struct {
		name  string
		heads []Head
		index int
		rule  string // "" is good
	}{
		{"none", nil, 0, ""},
		{"one", []Head{w(0, 5, 0, 60)}, 0, ""},
		{"same window again", []Head{w(0, 5, 0, 60), w(1, 5, 0, 60), w(2, 5, 0, 60)}, 0, ""},
		{"coalesced", []Head{w(0, 5, 0, 60), w(1, 6, 60, 240), w(2, 7, 240, 300)}, 0, ""},
		{"gap", []Head{w(0, 5, 0, 60), gap(w(9, 6, 60, 240), 1, 8)}, 0, ""},
		{"from a gap at 0", []Head{gap(w(4, 5, 0, 60), 0, 3), w(5, 6, 60, 120)}, 0, ""},
		{"seq left out", []Head{w(0, 5, 0, 60), w(2, 5, 0, 60)}, 1, ChainSeq},
		{"seq again", []Head{w(0, 5, 0, 60), w(1, 5, 0, 60), w(1, 5, 0, 60)}, 2, ChainSeq},
		{"gap too late", []Head{w(0, 5, 0, 60), gap(w(9, 6, 60, 240), 2, 8)}, 1, ChainGap},
		{"gap from 0 in the middle", []Head{w(0, 5, 0, 60), gap(w(9, 6, 60, 240), 0, 8)}, 1, ChainGap},
		{"prev of another", []Head{w(0, 5, 0, 60), other(w(1, 6, 60, 120), func(h *Head) { h.Prev = &Digest{1} })}, 1, ChainPrev},
		{"writer", []Head{w(0, 5, 0, 60), other(w(1, 6, 60, 120), func(h *Head) { h.Writer[3]++ })}, 1, ChainStream},
		{"tenant", []Head{w(0, 5, 0, 60), other(w(1, 6, 60, 120), func(h *Head) { h.Tenant[3]++ })}, 1, ChainStream},
		{"start decreases", []Head{w(0, 5, 60, 120), w(1, 6, 0, 120)}, 1, ChainStart},
		{"end decreases", []Head{w(0, 5, 60, 180), w(1, 6, 60, 120)}, 1, ChainEnd},
		{"sealed_at decreases", []Head{w(0, 5, 0, 60), w(1, 6, 0, 60), w(2, 5, 0, 60)}, 2, ChainSealedAt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := chainOf(t, c.heads...)
			err := VerifyChain(s)
			var ce *ChainError
			if c.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else if !errors.As(err, &ce) || !errors.Is(err, ErrChain) || ce.Index != c.index || ce.Rule != c.rule || ce.Seq != s[c.index].Head().Seq {
				t.Fatalf("got %v, want slice %d, %q", err, c.index, c.rule)
			}
			for i := 1; i < len(s) && c.rule == ""; i++ { // the same, continued from any slice
				chain := ResumeChain(s[i-1].Head(), s[i-1].Digest())
				if err := chain.Append(s[i]); err != nil {
					t.Error(err)
				}
				if seq, d, ok := chain.Tip(); seq != s[i].Head().Seq || d != s[i].Digest() || !ok || chain.Len() != 1 {
					t.Errorf("Tip: got %d %v %v", seq, d, ok)
				}
			}
		})
	}
	s := chainOf(t, w(0, 5, 0, 60), w(1, 5, 0, 60))
	var ce *ChainError
	if err := VerifyChain([]SealedSlice{s[0], {}}); !errors.As(err, &ce) || ce.Rule != ChainNoSlice {
		t.Errorf("zero value: got %v", err)
	}
	h := s[1].Head()
	h.Dimension = "cpu"
	if err := VerifyChain([]SealedSlice{s[0], must[SealedSlice](t)(Encode(h, nil))}); !errors.As(err, &ce) || ce.Rule != ChainStream {
		t.Errorf("dimension: got %v", err)
	}
	strict := Chain{FromStart: true}
	if err := strict.Append(s[1]); !errors.As(err, &ce) || ce.Rule != ChainBeginning {
		t.Errorf("FromStart: got %v", err)
	}
	if err := strict.Append(s[0]); err != nil { // an error leaves it where it stood
		t.Error(err)
	}
	if err := strict.Append(s[1]); err != nil {
		t.Error(err)
	}
	if _, _, ok := new(Chain).Tip(); ok {
		t.Error("Tip of nothing")
	}
}
