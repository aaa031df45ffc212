// Package ingress takes sealed slices of foreign writers (services in other languages, edge nodes), keeps them durably, and
// exports them in order to one sink. The adapter puts HTTP in front of it.
//
// # Promise
//
// Put returns AckOK when the slice is on the disk (with Options.Dir; else in memory) and follows its stream's last accepted
// one. From then on it is exported until the sink acks it, across restarts and kill -9. The sink may see a slice again
// after a crash: it is idempotent.
//
// # Order
//
// One goroutine, the committer, judges and commits: what arrives while a commit is under way shares the next one, so a
// stream's tip is judged and moved by nobody else. A batch of arrivals is one transaction: all of it is held or none. After the
// commit the slices are handed to their lanes (package lane) in the order of arrival.
//
// # Where a stream stands
//
// The tip of a stream is known from what is staged, or from the Horizon last acked slices, which are kept (digest and times only) so
// that a repeat is told from a conflict, also after a restart. For any other stream the sink is asked, once; a stream that neither
// knows begins at seq 0. A repeat that is older than the horizon is refused as a conflict that names the tip: it can't be told
// whether it is what was sent before.
//
// # Bounds
//
// Staged bytes and slices (MaxBytes, MaxSlices), of which one tenant may hold TenantShare; slices a stream (LaneCapacity); streams
// (MaxStreams: the longest idle is forgotten first); bytes of staged slices that stay in memory (MaxResident: the others are
// read back when their turn comes); idempotency keys (MaxKeys).
//
// # The file
//
// Dir/ingress.db is a bbolt file with three buckets, each keyed by an ascending big-endian number, so that writes go to
// one end and deletes to the other: slices (digest and bytes), acked (32 bytes of digest, the times, the stream), keys (idempotency keys).
// bbolt has no checksums of its own: a slice that is read back must have its digest.
package ingress
