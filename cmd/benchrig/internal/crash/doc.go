// Package crash kills a recorder over and over and proves that nothing it had counted is lost or counted twice.
//
// A parent starts itself as a child that records a load like W4's (many streams, a WAL, counters in a mapped file, a ledger that fails and
// loses answers), kills it with SIGKILL at a random moment or at a random call to the file system, also while it recovers, and starts it again.
// What the child has counted is kept by an oracle in a mapping of its own: per key, what was begun and what had returned. A count is then right
// if it lies between the two, summed over all lives. The proof is made twice: over ledger, WAL and counter file as the last kill left them, and
// over the ledger alone once a last life has drained into it; both by package conserve, which shares no code with the recorder.
//
// With power cuts the WAL lies on a file system of its own, which is shut down under the child (it is stopped first: a program does not run on without power), and the counter file is deleted with it, as
// memory would be: then what had been sealed must be there, and what was open may be lost.
package crash
