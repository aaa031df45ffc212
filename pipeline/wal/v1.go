package wal

// Format version 1 had the same preamble (with 1 for the version) and frames (their magic ends with 01), but no checkpoints: no heads, cursors
// and state frames. A stream's head was its newest entry, whose segment was kept even where all of it was acked, or a later ack. Marks and acks
// frames had no epoch, and a commit's table no gaps.
//
// Open reads such segments, moves what is live into one of this version, and drops them.

// allowedV1 reports whether version 1 had frames of that kind.
func allowedV1(kind byte) bool {
	return kind == kindSegment || kind >= kindEntry
}
