package canon

import "encoding/binary"

// cursor reads items at off and keeps the first error: after it nothing moves and every read gives zero.
// It is the careful path; rows that look as they should take the fast one (decode.go).
type cursor struct {
	b   []byte
	off int
	err *SchemaError
}

// fail keeps the first error.
func (c *cursor) fail(off int, rule string) {
	if c.err == nil {
		c.err = &SchemaError{Offset: off, Rule: rule}
	}
}

// skip moves over n bytes.
func (c *cursor) skip(n int) bool {
	if c.err == nil && n > len(c.b)-c.off {
		c.fail(len(c.b), RuleTruncated)
	}
	if c.err != nil {
		return false
	}
	c.off += n
	return true
}

// arg reads the first byte and the argument of an item that must be of the given major type; what is not says why:
// the general rules first, then the rule given.
func (c *cursor) arg(major byte, rule string) (v uint64, ok bool) {
	if c.err != nil {
		return 0, false
	}
	at := c.off
	if at == len(c.b) {
		c.fail(at, RuleTruncated)
		return 0, false
	}
	first := c.b[at]
	if m, info := first&0xe0, first&0x1f; m != major || info > 27 {
		c.fail(at, misfit(m, info, rule))
		return 0, false
	}
	info := int(first & 0x1f)
	if info < 24 {
		c.off++
		return uint64(info), true
	}
	size := 1 << (info - 24)
	if !c.skip(1 + size) {
		return 0, false
	}
	switch arg := c.b[at+1 : at+1+size]; size {
	case 1:
		v = uint64(arg[0])
	case 2:
		v = uint64(binary.BigEndian.Uint16(arg))
	case 4:
		v = uint64(binary.BigEndian.Uint32(arg))
	default:
		v = binary.BigEndian.Uint64(arg)
	}
	if SizeUint(v) != 1+size {
		c.fail(at, RuleShortest)
		return 0, false
	}
	return v, true
}

// misfit names the rule that an item of major type m breaks where another was due.
func misfit(m, info byte, rule string) string {
	switch {
	case info == 31 && m != majorUint && m != majorTag && m != 1<<5:
		return RuleDefinite
	case info > 27:
		return RuleReserved
	case m == majorTag:
		return RuleTag
	case m == majorOther && info > 24:
		return RuleFloat
	case rule == RuleRow:
		return RuleRow
	default:
		return RuleType
	}
}

// uint reads an integer into v.
func (c *cursor) uint(v *uint64) (ok bool) {
	*v, ok = c.arg(majorUint, RuleType)
	return ok
}

// null reads null if it stands here.
func (c *cursor) null() bool {
	if c.err == nil && c.off < len(c.b) && c.b[c.off] == cborNull {
		c.off++
		return true
	}
	return false
}

// bool reads false or true.
func (c *cursor) bool() bool {
	at := c.off
	if !c.skip(1) {
		return false
	}
	switch first := c.b[at]; first {
	case cborFalse, cborTrue:
		return first == cborTrue
	default:
		c.fail(at, misfit(first&0xe0, first&0x1f, RuleType))
		return false
	}
}

// id reads a byte string of 16.
func (c *cursor) id(id *ID) {
	at := c.off
	if n, ok := c.arg(majorBytes, RuleType); ok && n != 16 {
		c.fail(at, RuleID)
	}
	if at = c.off; c.skip(16) {
		*id = ID(c.b[at:])
	}
}

// name reads a text string that is a dimension or a reason.
func (c *cursor) name(rule string) string {
	at := c.off
	n, ok := c.arg(majorText, RuleType)
	if ok && (n == 0 || n > MaxName) {
		c.fail(at, rule)
	}
	if c.err != nil {
		return ""
	}
	at = c.off
	for i := range min(int(n), len(c.b)-at) {
		if !nameByte(c.b[at+i], i) {
			c.fail(at+i, rule)
			return ""
		}
	}
	if !c.skip(int(n)) {
		return ""
	}
	return intern(c.b[at:c.off])
}

// mapHeader reads the beginning of a map that has exactly these keys.
func (c *cursor) mapHeader(keys []string) {
	at := c.off
	if n, ok := c.arg(majorMap, RuleType); ok && n != uint64(len(keys)) {
		c.fail(at, RuleKeys)
	}
}

// key reads keys[i] as a map key.
func (c *cursor) key(keys []string, i int) {
	at := c.off
	n, ok := c.arg(majorText, RuleType)
	if !ok {
		return
	}
	if n > uint64(len(c.b)-c.off) {
		c.fail(len(c.b), RuleTruncated)
		return
	}
	got := c.b[c.off : c.off+int(n)]
	c.off += int(n)
	if string(got) == keys[i] {
		return
	}
	for j, k := range keys {
		if string(got) == k {
			if j < i {
				c.fail(at, RuleKeyDuplicate)
			}
			c.fail(at, RuleKeyOrder)
		}
	}
	c.fail(at, RuleKeyUnknown)
}
