// Package lane brings sealed slices to one sink: strictly in order within a stream, fairly across streams, as often as it
// takes. It holds no clock of windows, no WAL and no metrics; those stand on its hooks.
//
// # Terms
//
// A Router serves one sink. A Lane is one stream's queue in it. An Item is one slice on its way. A run is the longest piece
// of a lane that one call carries: consecutive seqs from its front. A batch is one call: at most one run of a lane, of as
// many lanes as fit. The circuit is the router's opinion of the whole sink.
//
// # Order
//
//  1. A lane is in at most one call at a time, and only its front is: N+1 is put in the same batch behind N, or after N's ack.
//  2. Within a run only the answers before the first error count; the failed item and all behind it go back to the front.
//  3. Acked is called in order within a lane, from one goroutine at a time, before the lane is served again.
//  4. Items leave a lane only by an ack, or by Discard of a halted lane.
//
// # Liveness
//
// A failed run waits by full jitter between zero and min(Cap, Base·2^n), or as long as the sink's Retry-After asked. When an
// operation has failed for OpDeadline the lane rests (Rest) and starts a new operation afterwards, for ever. Gap and
// conflict halt the lane until Restart. A call without any ack counts against the sink; after TripAfter such calls in a row
// the circuit opens: nothing is put but one probe after each backoff, so that an outage costs one retry at a time
// and not one a lane; the first ack closes it and wakes every lane that had failed with the sink. A batch that fails as a
// whole by its size or its content (timeout, 413, panic, garbage) halves the batch limit, down to one slice; acks double it again.
// A slice that fails so when it is alone keeps its lane out of batches: poison costs itself only.
//
// # Fairness
//
// Start-time fair queueing over flows: under RoundRobin all lanes are one flow, served a slice a turn in a ring; under WFQ
// each tenant is a flow and gets slices in proportion to its weight, 1 to 8, while it has any that may be put.
//
// # Cost
//
// No goroutine, timer or allocation a lane or slice: items are linked through themselves, ready lanes form a list,
// resting ones a heap with one timer, and Workers goroutines take batches under one mutex that is held for the building of a
// batch only, never during a call or a hook. Lane.Room is one atomic load.
//
// # Duplicates
//
// An item whose seq is at or below the lane's last acked one was handed in twice. Its digest is compared with the ack's, for the
// last Horizon acks of the router: equal is a duplicate (acked without a call), other is a conflict. Beyond the horizon the
// sink, which is idempotent, is asked. A general LRU by digest would add nothing: the lane's own order already tells new
// from old, so only the digest of an old seq is ever looked up, and a fixed table of them needs no list and no allocation.
package lane
