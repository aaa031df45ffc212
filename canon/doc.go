// Package canon is the wire format of a sealed slice: strict DAG-CBOR that has exactly one encoding for each value,
// and the BLAKE3-256 of those bytes, which is the slice's identity, its link in the chain and its CID.
//
// # Format
//
// media type application/vnd.ron.slice.v1+dag-cbor; the schema is docs/slice.ipldsch. A slice is one item:
//
//	{head: {v, gap, seq, prev, tenant, writer, amnesia, dimension, sealed_at_ms, window_end_s, window_start_s},
//	 rows: [[ns, id, inc] …]}
//
// with keys in that order (length first, then bytes), shortest integers and lengths, definite lengths only, no tag but 42
// (on prev), no float, no trailing byte, at most [MaxBytes]. Rows ascend strictly by (ns, id). Unknown keys are refused.
//
// # What is enforced
//
// [Decode] and [View] accept exactly what [Encode] writes: anything else is a [SchemaError] that names the offset and
// the rule (the Rule constants). They allocate nothing that a declared length asks for. [VerifyChain] and [Chain]
// add the rules between consecutive slices of one stream.
//
// Not enforced here, because they bind the sealer and not the wire: the number of rows a slice has (only its size is
// bounded), the alignment of windows, period boundaries, and that an empty slice is a wanted heartbeat.
//
// # Ownership
//
// A [SealedSlice] is an immutable view of bytes. Decode and Encode return one that owns its bytes; View and
// [Encoder] return one that aliases memory of the caller or of the encoder: [SealedSlice.Clone] makes it own them.
// All functions are safe for concurrent use; an Encoder and a Chain belong to one goroutine at a time.
package canon
