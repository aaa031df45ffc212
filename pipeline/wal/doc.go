// Package wal keeps sealed slices durable until their ledgers have acked them. It handles opaque bytes: what a body says is
// the business of canon; the log knows its stream, seq, digest and units from the Entry it came with.
//
// # Files
//
// A directory (0700) belongs to one process at a time, by flock on .lock, which is never renamed or removed:
//
//	.lock                      the process lock; holds the owner's process number, for people
//	0000000000000001.wal       segments (0600), by number; numbers are never used twice
//	spare.tmp                  a preallocated segment in waiting; *.tmp is removed at the next start
//	open.counters              the counters' checkpoint, where its owner keeps one: see counters.go
//	0000000000000007.wal.bad   a segment in which recovery found damage, set aside as evidence; never read again
//
// # Segment, format version 2
//
// Integers are little-endian, so that a log moves between machines. A segment is a preamble, then frames without
// padding, then zeros up to its preallocated size:
//
//	 0                8         12         16
//	+----------------+---------+----------+--------------------------------------
//	| "RONWAL\r\n"   | version | CRC-32C  | frame | frame | … | 0 0 0 …
//	+----------------+---------+----------+--------------------------------------
//
// A frame is a header of 64 bytes, fields of its kind, the header's check, and a body:
//
//	 0      4    5     6      8        12     16        24        32       64        64+x  68+x
//	+------+----+-----+------+--------+------+---------+---------+--------+---------+-----+------+
//	|magic |kind|flags| x    |body len| zero | segment | offset  | digest | fields  | CRC | body |
//	+------+----+-----+------+--------+------+---------+---------+--------+---------+-----+------+
//	                                                                        x bytes
//
// The CRC-32C covers everything before it; digest is the BLAKE3-256 of the body (zeros where there is none), which for a
// slice is the slice's own digest. Header and body are checked apart: a flipped length fails the CRC, and the next frame is
// found by its magic, segment and offset; a flipped body leaves a header that still says which stream, seq and units it was.
// Segment and offset make a frame valid in its own place only.
//
//	kind        fields                                                   body
//	1 segment   writer, boot id, created, window, policy, counts          dimension names; number, end, synced of each older segment
//	2 heads     number of records                                        a record a stream: head, acked, cumulative units
//	3 cursors   number of records                                        a record a sink and stream
//	4 state     epoch, file id, n, F, writer, totals of 2 and 3          -
//	5 entry     stream, seq, epoch, prev, units, cumulative, times, gap  the slice
//	6 commit    epoch, file id, n, F, first offset, count, writer        stream, seq, digest, units, gap of each entry again
//	7 mark      synced up to this offset, last epoch                     -
//	8 acks      number of records, last epoch                            stream, seq acked; sink, stream, seq, digest
//
// A segment opens with frames 1 to 4: a checkpoint of everything but the bodies. So segments are dropped in any order, and
// the loss of one is seen, because the others know the stream's head and what was acked.
// Behind it come the live entries of failed, damaged or compacted segments, if any, flagged as moved, and a mark.
// Format version 1 (see v1.go) had no checkpoints. It is read and rewritten at Open. A higher version is refused untouched.
//
// # Writing
//
// A commit is one vectored write, [acks] entry… commit, into preallocated space, and one fdatasync by policy; then a mark
// is written, without a sync: it says that everything before it was once durable, so that later damage there is known for
// bit rot and not for a write that was cut short. A new segment is spare.tmp: preallocated, checkpointed, fsynced, renamed,
// directory fsynced, only then used.
//
// After a write or sync failed, its segment is never written or synced again. The commit's outcome is then unknown; the live
// entries and the same commit go to a new segment, whose header declares where the old one ends (prev end), so the two
// copies can't both count. Only if that fails too does Append return ErrOutcomeUnknown, and the next Append must
// bring the same commit.
//
// # Recovery
//
//  1. Take the lock.
//  2. Read the segments by number. Each checkpoint is merged: of head and acked the higher seq wins.
//  3. A commit counts if its commit frame and all its entries are intact: all or none. What follows the last commit that
//     counts is the torn tail: it is cut off and counted, unless a mark covers it.
//  4. Damage that a mark, a later commit or a later segment covers is no torn tail: the entries still intact stay, the rest
//     is reported, the bytes in Recovered.Damage and what was in them in Recovered.Holes, by stream, seq and units, from the frame's
//     header, the commit's table, or the neighbours' cumulative units. A seq that a head says was used, is not acked, and is nowhere, is reported in the same way. Where damage
//     may have held a commit of which nothing else tells (its epoch is skipped), or the newest heads, used seqs may be unknown:
//     then the log gets a new writer, whose streams start at seq 0.
//  5. What survives is made durable before it is handed out: a new segment with a checkpoint, into which every live entry goes
//     that no mark covers or that lived in a damaged, failed or old-format segment. It gets its name after that. *.tmp go first.
//  6. Damaged segments become .bad; segments without live entries are removed.
//
// With the policies Interval and Never, a boot id other than the last one means a power cut: the last segment then ends where its unsynced bytes
// stop being whole, and the log gets a new writer, because what was lost may have been exported.
// A page that can't be read twice counts as damaged; where nothing of a segment can be read, Open fails and gives up nothing.
// Inspect, Walk and Verify do points 2 to 4 without a lock and without changing anything.
//
// # Assumptions
//
// A successful fdatasync is true (disks that lie lose what they lied about; the chain and the ledger's tip show it). After a failed
// one nothing is assumed. A write that was not synced may be lost in any subset of its pages. Rename within a directory is atomic. Bits
// rot anywhere, at any time. The directory is on one local file system with working flock; NFS is not supported.
//
// # Limits
//
// A body is at most 16 MiB. Stream names follow the slice's rules (dimension at most 63 bytes). Sinks at most 255. Bytes and entries are
// capped by Options; period boundaries, acks and compaction have a reserve beyond the caps. A segment's checkpoint holds about 150 bytes a
// stream: with 100,000 of them it is half of a segment of 32 MiB. With Fsync Never bit rot shows by holes alone: nothing says what was durable. Without a mark after it a damaged
// last commit counts as torn: with Fsync OnSeal this can only be one whose Append had not returned, or damage to the disk
// together with the loss of the mark.
package wal
