package canon

// Encode writes one slice and sums it. It refuses what Decode would refuse of the bytes, with the same *SchemaError:
// rows that are not strictly ascending by (Namespace, Subject) or have Inc 0 among it. No rows at all is a heartbeat.
func Encode(h Head, rows []Row) (SealedSlice, error) {
	h.V = max(h.V, Version)
	size := SizeHead(&h, len(rows))
	most := size + len(rows)*MaxRowSize
	if most > MaxBytes || !goodHead(&h) {
		return encodeChecked(&h, rows, size)
	}
	b := AppendHead(make([]byte, 0, most), &h, len(rows))
	var o rowOrder
	end := o.appendRows(b[:cap(b)], len(b), rows)
	if o.wrong != 0 || o.n != len(rows) {
		return encodeChecked(&h, rows, size)
	}
	s := SealedSlice{head: h, prev: prevOffset(&h), rows: int32(len(b)), n: int32(len(rows)), unitsLo: o.lo, unitsHi: o.hi}
	if h.Gap != nil {
		s.head.Gap = h.Gap.clone()
	}
	s.bytes = b[:end:end]
	s.point()
	s.digest = Sum(s.bytes)
	return s, nil
}

// encodeChecked is Encode for what may break a rule, or be too large: it decodes what it wrote, to say where. size is that of the head.
func encodeChecked(h *Head, rows []Row, size int) (SealedSlice, error) {
	for i := range rows {
		size += SizeRow(&rows[i])
	}
	if size > MaxBytes {
		return SealedSlice{}, &SchemaError{Offset: MaxBytes, Rule: RuleTooLarge}
	}
	b := AppendHead(make([]byte, 0, size), h, len(rows))
	for i := range rows {
		b = AppendRow(b, &rows[i])
	}
	return View(b)
}
