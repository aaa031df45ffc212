package canon

import "encoding/binary"

// The AppendX functions write values as they are: they check nothing, and what they write is canonical only for values
// that the schema allows. Encode and Encoder check. For each AppendX, SizeX (size.go) is the exact number of bytes.

// Major types of CBOR, in the upper three bits of an item's first byte.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	majorTag   = 6 << 5
	majorOther = 7 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

// linkPrefix is what stands before the digest in prev: tag 42, a byte string of 37, the identity multibase, the CID's prefix.
const linkPrefix = "\xd8\x2a\x58\x25\x00" + cidPrefix

// AppendUint appends v as the shortest CBOR integer.
func AppendUint(b []byte, v uint64) []byte { return appendArg(b, majorUint, v) }

// AppendText appends s as a text string.
func AppendText(b []byte, s string) []byte {
	return append(appendArg(b, majorText, uint64(len(s))), s...)
}

// appendArg appends the first byte of an item and its argument.
func appendArg(b []byte, major byte, v uint64) []byte {
	switch {
	case v < 24:
		return append(b, major|byte(v))
	case v < 1<<8:
		return append(b, major|24, byte(v))
	case v < 1<<16:
		return append(b, major|25, byte(v>>8), byte(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), v)
	}
}

// AppendHead appends everything of a slice that stands before its first row: the outer map, the head, and the length of
// the array of rows. A V of 0 is written as 1.
func AppendHead(b []byte, h *Head, rows int) []byte {
	b = append(b, "\xa2\x64head\xab\x61v"...)
	b = AppendUint(b, max(h.V, Version))
	b = append(b, "\x63gap"...)
	if h.Gap == nil {
		b = append(b, cborNull)
	} else {
		b = AppendGap(b, h.Gap)
	}
	b = append(b, "\x63seq"...)
	b = AppendUint(b, h.Seq)
	b = append(b, "\x64prev"...)
	if h.Prev == nil {
		b = append(b, cborNull)
	} else {
		b = append(b, linkPrefix...)
		b = append(b, h.Prev[:]...)
	}
	b = append(b, "\x66tenant\x50"...)
	b = append(b, h.Tenant[:]...)
	b = append(b, "\x66writer\x50"...)
	b = append(b, h.Writer[:]...)
	b = append(b, "\x67amnesia"...)
	if h.Amnesia {
		b = append(b, cborTrue)
	} else {
		b = append(b, cborFalse)
	}
	b = append(b, "\x69dimension"...)
	b = AppendText(b, h.Dimension)
	b = append(b, "\x6csealed_at_ms"...)
	b = AppendUint(b, h.SealedAtMS)
	b = append(b, "\x6cwindow_end_s"...)
	b = AppendUint(b, h.WindowEndS)
	b = append(b, "\x6ewindow_start_s"...)
	b = AppendUint(b, h.WindowStartS)
	b = append(b, "\x64rows"...)
	return appendArg(b, majorArray, uint64(rows))
}

// AppendGap appends the map of a gap.
func AppendGap(b []byte, g *Gap) []byte {
	b = append(b, "\xa4\x62to"...)
	b = AppendUint(b, g.To)
	b = append(b, "\x64from"...)
	b = AppendUint(b, g.From)
	b = append(b, "\x65units"...)
	if g.Units == nil {
		b = append(b, cborNull)
	} else {
		b = AppendUint(b, *g.Units)
	}
	b = append(b, "\x66reason"...)
	return AppendText(b, g.Reason)
}

// AppendRow appends [ns, id, inc].
func AppendRow(b []byte, r *Row) []byte {
	b = AppendUint(append(b, majorArray|3), uint64(r.Namespace))
	b = append(append(b, majorBytes|16), r.Subject[:]...)
	return AppendUint(b, r.Inc)
}
