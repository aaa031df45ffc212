package canon

// Sizes by which a caller can split rows into slices without encoding them first.
const (
	MinRowSize  = 1 + 1 + 17 + 1 // bytes of the shortest row
	MaxRowSize  = 1 + 5 + 17 + 9 // bytes of the longest row
	MaxHeadSize = 395            // bytes of everything before the first row, at most
	// RowsAlwaysFit rows fit into MaxBytes whatever they hold: a caller that keeps to it needs no sizes at all.
	RowsAlwaysFit = (MaxBytes - MaxHeadSize) / MaxRowSize
)

// SizeUint returns the number of bytes of AppendUint.
func SizeUint(v uint64) int {
	switch {
	case v < 24:
		return 1
	case v < 1<<8:
		return 2
	case v < 1<<16:
		return 3
	case v < 1<<32:
		return 5
	default:
		return 9
	}
}

// SizeText returns the number of bytes of AppendText.
func SizeText(s string) int { return SizeUint(uint64(len(s))) + len(s) }

// SizeHead returns the number of bytes of AppendHead.
func SizeHead(h *Head, rows int) int {
	const keys = len("\xa2\x64head\xab\x61v\x63gap\x63seq\x64prev\x66tenant\x50\x66writer\x50\x67amnesia\x69dimension" +
		"\x6csealed_at_ms\x6cwindow_end_s\x6ewindow_start_s\x64rows")
	n := keys + 16 + 16 + 1 + SizeUint(max(h.V, Version)) + SizeUint(h.Seq) + SizeText(h.Dimension) +
		SizeUint(h.SealedAtMS) + SizeUint(h.WindowEndS) + SizeUint(h.WindowStartS) + SizeUint(uint64(rows))
	if h.Gap == nil {
		n++
	} else {
		n += SizeGap(h.Gap)
	}
	if h.Prev == nil {
		return n + 1
	}
	return n + len(linkPrefix) + len(h.Prev)
}

// SizeGap returns the number of bytes of AppendGap.
func SizeGap(g *Gap) int {
	n := len("\xa4\x62to\x64from\x65units\x66reason") + SizeUint(g.To) + SizeUint(g.From) + SizeText(g.Reason)
	if g.Units == nil {
		return n + 1
	}
	return n + SizeUint(*g.Units)
}

// SizeRow returns the number of bytes of AppendRow.
func SizeRow(r *Row) int { return 1 + SizeUint(uint64(r.Namespace)) + 17 + SizeUint(r.Inc) }
