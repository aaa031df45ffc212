package canon

// Head is the head of a sealed slice: its place in its stream's chain and the window that it covers.
type Head struct {
	V            uint64  // wire version, 1; Encode takes 0 as 1
	Seq          uint64  // 0 is the first of a stream; contiguous; at most 2^63-1
	Gap          *Gap    // not nil: declares lost slices just before this one
	Prev         *Digest // digest of the previous slice; after a gap, of the last known one; nil only at seq 0 or where the gap starts at 0
	Tenant       ID
	Writer       ID
	Amnesia      bool
	Dimension    string // [a-z][a-z0-9_]{0,62}
	SealedAtMS   uint64 // Unix milliseconds; never decreases along a stream
	WindowStartS uint64 // Unix seconds, inclusive
	WindowEndS   uint64 // Unix seconds, exclusive
}

// Gap declares that the slices From..To (inclusive) of the stream are lost.
type Gap struct {
	From, To uint64
	Units    *uint64 // units lost with them; nil where unknown
	Reason   string  // [a-z][a-z0-9_]{0,62}
}

// clone returns a copy of g and of what it points to.
func (g *Gap) clone() *Gap {
	c := *g
	if g.Units != nil {
		c.Units = new(*g.Units)
	}
	return &c
}

// goodHead reports whether h breaks no rule; headError says which one.
func goodHead(h *Head) bool {
	first := h.Seq == 0 // no slice to link to
	if g := h.Gap; g != nil {
		if g.From > g.To || h.Seq == 0 || g.To != h.Seq-1 || !ValidName(g.Reason) {
			return false
		}
		first = g.From == 0
	}
	return h.V <= Version && h.Seq <= MaxSeq && (h.Prev == nil) == first && ValidName(h.Dimension) && h.WindowStartS < h.WindowEndS
}

// headError finds the rule that h breaks by decoding what would be written for it.
func headError(h Head) error {
	if size := SizeHead(&h, 0); size > MaxBytes {
		return &SchemaError{Offset: MaxBytes, Rule: RuleTooLarge}
	}
	_, err := parse(AppendHead(nil, &h, 0))
	return err
}

// prevOffset returns where in a slice the digest of prev begins, 0 where it is null.
func prevOffset(h *Head) int32 {
	if h.Prev == nil {
		return 0
	}
	n := len("\xa2\x64head\xab\x61v\x63gap\x63seq\x64prev") + len(linkPrefix) + SizeUint(max(h.V, Version)) + SizeUint(h.Seq)
	if h.Gap == nil {
		return int32(n + 1)
	}
	return int32(n + SizeGap(h.Gap))
}

// ValidName reports whether s may be a dimension or a reason: [a-z][a-z0-9_]{0,62}.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i], i) {
			return false
		}
	}
	return true
}

// nameByte reports whether c may stand at place i of a name.
func nameByte(c byte, i int) bool {
	return 'a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '_')
}

// intern returns b as a string, without allocating for the dimensions that every recorder has.
func intern(b []byte) string {
	switch string(b) {
	case "bytes":
		return "bytes"
	case "requests":
		return "requests"
	case "cpu":
		return "cpu"
	}
	return string(b)
}
