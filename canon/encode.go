package canon

// Encode writes one slice and sums it. It refuses what Decode would refuse of the bytes, with the same *SchemaError:
// rows that are not strictly ascending by (Namespace, Subject) or have Inc 0 among it. No rows at all is a heartbeat.
func Encode(h Head, rows []Row) (SealedSlice, error) {
	size := SizeHead(&h, len(rows))
	for i := range rows {
		size += SizeRow(&rows[i])
	}
	if size > MaxBytes {
		return SealedSlice{}, &SchemaError{Offset: MaxBytes, Rule: RuleTooLarge}
	}
	b := AppendHead(make([]byte, 0, size), &h, len(rows))
	for i := range rows {
		b = AppendRow(b, &rows[i])
	}
	return View(b)
}
