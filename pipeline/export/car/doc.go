// Package car archives sealed slices as CARv1 files, which any IPLD tool imports, walks and verifies offline: a slice is a block,
// its CID is CIDv1 (dag-cbor, blake3-256), and prev links make each stream a DAG that its last slice reaches all of.
//
// # Files
//
// A directory holds 00000001.car, 00000002.car, … and LOCK. Each is
//
//	uvarint n │ dag-cbor {"roots": [CID of the file's first slice], "version": 1}
//	uvarint n │ CID (36 bytes) │ slice         one section a slice, in the order of arrival
//	…
//
// A root must be known when a file begins, so it is the first slice and not the last. A new file begins when the next slice
// would exceed MaxFileBytes and, with Monthly, when the first slice of a later month (UTC, by window_start_s) arrives, so that old months can be moved away; late
// slices of an old month stay where they arrive. The newest file must not be moved away: Open reads the tips from what is there.
//
// # Guarantees
//
// The archive is a sink as strict as the ledger: seq = tip+1 and prev = tip, or a declared gap; the same slice again is a
// duplicate, another one under its seq a conflict. An ack is given after the sections are written and synced; callers that come together share
// one sync. After a failed write or sync nothing of that group is acked, the file is cut back and never written again, and the next group begins a new file.
//
// # Recovery
//
// Open reads every file, checks each block's digest and walks each chain. A section that ends early at the end of a file is a torn
// write: cut off and counted (Recovered). A block whose bytes do not have its digest, a section that is none, or one that seems to end early and has
// a whole slice in it or behind it, is damage: what follows in that file can't be trusted to be framed; it is moved to NAME.damaged (then
// NAME.damaged.1, …) and counted, never deleted. If that breaks a
// chain Open fails with ErrDamaged, naming where.
//
// # Limits
//
// The digest of every slice is held in memory to tell duplicates from conflicts: 40 bytes a slice.
package car
