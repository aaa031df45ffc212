// Package ledger is the embedded reference ledger: the durable far side of an export, in one bbolt file. It takes sealed
// slices, checks their place in their stream's chain, tells duplicates, gaps and conflicts apart, and answers only after
// the slice is on the disk. It adds usage up for queries. It keeps no balances and no prices.
//
// # Guarantees
//
//   - A slice is taken iff seq = tip+1 and prev = the tip's digest, or it declares gap.from = tip+1, gap.to = seq-1 and
//     prev = the tip's digest; a stream starts at seq 0, or at a gap from 0. Window start, window end and sealed_at never
//     decrease along a stream. Anything else is refused and changes nothing.
//   - The same slice again is a duplicate, however old it is. Another slice under a held seq, or a slice inside a gap
//     that the stream has declared, is a conflict: its units were sealed anew above the gap, so it can never be taken.
//   - An ack means: the slice's bytes are in the file and fdatasync has returned. A batch is one transaction. When a
//     transaction fails, every item that depends on it fails; nothing is acked on hope.
//   - The digest is computed anew over the bytes that are stored, so a buffer that changed on its way is never acked.
//
// # The file
//
// A slice is appended once and never moved. The tree over the slices has one entry per chunk of about 1 MiB, so that a
// commit of 3,000 slices writes its bytes once, plus some hundred small pages. There is no index by (stream, seq): a tree
// of it would rewrite one page per stream and commit, as much again as the slices. Each record carries two pointers
// instead, to its stream's previous record and to one further back, by which any older one is reached in O(log n)
// steps (E. W. Myers, "An applicative random-access stack", 1983).
//
//	bucket "meta"     "format" → name NUL version(4)       "state" → chunks(8) streams(8) slices(8) bytes(8)
//	bucket "streams"  writer(16) tenant(16) dimension → number(8), from 1 on, by first arrival
//	bucket "tips"     block(4) → 15 tips of 128 bytes; the tip of stream n is number (n-1)%15 of block (n-1)/15
//	bucket "gaps"     number(8) seq(8) → the declared gap before that slice
//	bucket "log"      chunk(8), from 1 on → bucket { "r" → records, one after another }
//
//	record   len(4) crc(4) stream(8) index(8) seq(8) window_end(8) units(16) prev(12) jump(12) jump_index(8) digest(32) window_start(8) slice
//	tip      count(8) seq(8) digest(32) sealed_at(8) window_start(8) window_end(8) at(12) jump(8+12) jump's jump(8+12) gaps(4)
//
// All numbers are big-endian. A place (12) is chunk(8) offset(4); chunk 0 is nowhere. crc is CRC-32C of the record's header after it,
// and of len. Index counts the stream's records from 0. The chunk is a bucket of its own because bbolt rewrites a leaf
// of up to four values whenever one is appended: with the values in the log's own leaves each megabyte would be written
// three times.
//
// # Assumptions and limits
//
// fdatasync means what it says, and a page that was not written since is not damaged by writing others. After a failed
// commit whose outcome is unknown (a failed fdatasync) the ledger takes nothing more until it is opened anew: what the
// page cache shows then may not be what the disk holds. A full disk is not such a failure: the next commit tries again.
// One process at a time holds the file, by its lock. Readers in the same process never wait for a commit. The address
// space that is mapped beforehand is Options.MapBytes; a file that outgrows it makes a commit wait for running queries.
// Verify finds a changed byte anywhere in a stored slice, in its record or in a tip; a change in a tree page of bbolt is found when
// it leads astray, and is answered with ErrCorrupt, never with a crash of the host.
package ledger
