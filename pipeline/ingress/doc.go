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
// # The directory
//
// Dir/staged is a write-ahead log (package wal), one sync a commit. A foreign stream has a slot, a stream of the log, while it has staged slices, because
// the log wants each of its streams acked in order; the slot is then another's. Acked slices (digest, times, stream), idempotency keys
// and the batches that are being counted are a stream of the log each. An ack is in the log before the slice is given up, so a slice comes
// back after a crash only where its ack was not written yet.
//
// Dir/progress says how far the batch that is being counted has come: see progress. Dir/aside has what could not be exported: see setAside. Dir/ingress.db
// is what earlier versions staged in; Open moves what it holds.
//
// # Batches of increments
//
// Count makes an idempotency key and the rows of its batch durable in one commit, and then counts them; how far it has come outlives the process, not the machine.
// After a kill the next Open counts the rest. The row at whose beginning the process was killed counts as counted: of each kill at most that one
// row is missing, and none is twice. After a power cut nothing is counted again: what had been is sealed, or gone with the counters.
package ingress
