// Package jetstream exports to NATS JetStream, and reads a fleet's slices from there into a ledger.
//
// # Mapping
//
// There are four JetStream streams for each UTC month, RON_yyyymm-0 to RON_yyyymm-3. The month is that of the last second of a
// slice's window, so that an old month can be archived and deleted as a whole; the partition is a hash of the chain's name, so
// that a broker that syncs each message syncs four side by side. A chain's subject is
// u.<writer>.<tenant>.<dimension>.<yyyymm>-<partition>: two JetStream streams can't share a subject. A message's body is the slice's
// bytes; Ron-Seq and Ron-B3 stand in its headers.
//
//   - Nats-Msg-Id is the digest in hexadecimal: another slice under the same seq can't pass as a duplicate.
//   - Nats-Expected-Last-Subject-Sequence is the sequence of the chain's last message of that month (0: none yet). It is
//     the only fence: the broker checks no chain. Nats-Expected-Stream guards against a wrong binding.
//   - On a wrong last sequence (10071, 10164) the last message is read and the slice is judged anew: equal digest is a
//     duplicate, another slice under its seq a conflict, the next one is tried again, anything else is a gap.
//   - A slice at or below the tip is looked for in its month by bisection over the subject's messages, so a replay is told
//     from a conflict however long ago it was, without memory and without the broker's duplicate window.
//
// # What is required of the broker
//
// Connect refuses a month whose stream could lose or forget: File storage, limits retention, discard new, deny delete and
// purge, no maximum age, count or count per subject, no rollup, no direct reads, no subject transform, the default persist mode, acks on, at least Options.Replicas.
// The server's sync_interval can't be seen from a client: set it to "always", or acked slices die in a power cut.
//
// # Limits
//
// At a month's border the compare-and-set begins anew in another JetStream stream, behind a read of the former month's last
// message. Two processes with one writer id, which the WAL's lock prevents, could fork the chain there; Follow then
// refuses the fork. A chain's newest month must be kept: a tip that was deleted with its month reads as no tip.
package jetstream
