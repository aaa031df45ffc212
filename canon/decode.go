package canon

// Decode reads one slice and copies its bytes. It accepts exactly what Encode writes; any other input is a *SchemaError.
func Decode(b []byte) (SealedSlice, error) {
	s, err := View(b)
	if err != nil {
		return SealedSlice{}, err
	}
	return s.Clone(), nil
}

// View is Decode without the copy: the slice aliases b, which must not change while the slice is in use.
func View(b []byte) (SealedSlice, error) {
	s, err := parse(b)
	if err != nil {
		return SealedSlice{}, err
	}
	s.digest = Sum(b)
	return s, nil
}

// ViewSummed is View for bytes whose digest is known: d must be Sum(b), which is not checked. For callers that hash
// many bodies together (SumMany) or have just compared the digest with what came beside the bytes.
func ViewSummed(b []byte, d Digest) (SealedSlice, error) {
	s, err := parse(b)
	if err != nil {
		return SealedSlice{}, err
	}
	s.digest = d
	return s, nil
}

// parse checks every rule of the format and fills in all of s but the digest.
func parse(b []byte) (s SealedSlice, err error) {
	if len(b) > MaxBytes {
		return s, &SchemaError{Offset: MaxBytes, Rule: RuleTooLarge}
	}
	s.bytes = b[:len(b):len(b)]
	c := cursor{b: b}
	n := c.head(&s)
	if c.err != nil {
		return SealedSlice{}, c.err
	}
	s.rows, s.n = int32(c.off), int32(n)
	c.rows(&s)
	if c.err != nil {
		return SealedSlice{}, c.err
	}
	if c.off < len(b) {
		return SealedSlice{}, &SchemaError{Offset: c.off, Rule: RuleTrailing}
	}
	return s, nil
}

// Keys in wire order. Every key's text is shorter than 24 bytes, so its header is one byte.
var (
	outerKeys = []string{"head", "rows"}
	headKeys  = []string{"v", "gap", "seq", "prev", "tenant", "writer", "amnesia", "dimension", "sealed_at_ms", "window_end_s", "window_start_s"}
	gapKeys   = []string{"to", "from", "units", "reason"}
)

// head reads everything before the first row and returns the number of rows.
func (c *cursor) head(s *SealedSlice) int {
	h := &s.head
	c.mapHeader(outerKeys)
	c.key(outerKeys, 0)
	c.mapHeader(headKeys)
	c.key(headKeys, 0)
	if at := c.off; c.uint(&h.V) && h.V != Version {
		c.fail(at, RuleVersion)
	}
	c.key(headKeys, 1)
	toAt := c.gap(h)
	c.key(headKeys, 2)
	if at := c.off; c.uint(&h.Seq) && h.Seq > MaxSeq {
		c.fail(at, RuleSeq)
	}
	if h.Gap != nil && (h.Seq == 0 || h.Gap.To != h.Seq-1) {
		c.fail(toAt, RuleGap)
	}
	c.key(headKeys, 3)
	at := c.off
	s.prev = c.link()
	if (s.prev == 0) != (h.Seq == 0 || h.Gap != nil && h.Gap.From == 0) {
		c.fail(at, RulePrev)
	}
	c.key(headKeys, 4)
	c.id(&h.Tenant)
	c.key(headKeys, 5)
	c.id(&h.Writer)
	c.key(headKeys, 6)
	h.Amnesia = c.bool()
	c.key(headKeys, 7)
	h.Dimension = c.name(RuleDimension)
	c.key(headKeys, 8)
	c.uint(&h.SealedAtMS)
	c.key(headKeys, 9)
	c.uint(&h.WindowEndS)
	c.key(headKeys, 10)
	if at := c.off; c.uint(&h.WindowStartS) && h.WindowStartS >= h.WindowEndS {
		c.fail(at, RuleWindow)
	}
	c.key(outerKeys, 1)
	at = c.off
	n, ok := c.arg(majorArray, RuleType)
	if !ok {
		return 0
	}
	if n > uint64(len(c.b)-c.off) { // a byte each is all that is asked here: what a row lacks is said better at the row
		c.fail(at, RuleRowCount)
		return 0
	}
	s.point()
	return int(n)
}

// gap reads null or a gap, and returns the offset of gap.to's value.
func (c *cursor) gap(h *Head) (toAt int) {
	if c.null() {
		return 0
	}
	c.mapHeader(gapKeys)
	if c.err != nil {
		return 0
	}
	g := new(Gap)
	c.key(gapKeys, 0)
	toAt = c.off
	c.uint(&g.To)
	c.key(gapKeys, 1)
	if at := c.off; c.uint(&g.From) && g.From > g.To {
		c.fail(at, RuleGap)
	}
	c.key(gapKeys, 2)
	if !c.null() {
		g.Units = new(uint64)
		c.uint(g.Units)
	}
	c.key(gapKeys, 3)
	g.Reason = c.name(RuleReason)
	h.Gap = g
	return toAt
}

// link reads null or the link to the previous slice, and returns the offset of its digest, 0 for null.
func (c *cursor) link() int32 {
	if c.null() || c.err != nil {
		return 0
	}
	at := c.off
	if n, ok := c.arg(majorTag, RuleTag); !ok {
		return 0
	} else if n != 42 {
		c.fail(at, RuleTag)
		return 0
	}
	at = c.off
	if n, ok := c.arg(majorBytes, RuleCID); !ok {
		return 0
	} else if n != 37 {
		c.fail(at, RuleCID)
		return 0
	}
	for _, want := range []byte(linkPrefix[4:]) {
		if c.off == len(c.b) {
			c.fail(c.off, RuleTruncated)
			return 0
		}
		if c.b[c.off] != want {
			c.fail(c.off, RuleCID)
			return 0
		}
		c.off++
	}
	at = c.off
	if !c.skip(32) {
		return 0
	}
	return int32(at)
}
