// Package accounting meters usage for billing: who (tenant) used how much of what (dimension) on which object (namespace, subject).
//
// Record costs nanoseconds: no lock, no allocation, no I/O. At each UTC-aligned window the counters are sealed into canonical,
// hash-chained slices (DAG-CBOR, BLAKE3), which are staged in a write-ahead log where one is configured and exported to a ledger,
// strictly in order and with exactly-once effect. Conservation holds at any time, to the unit:
//
//	recorded = open + pending + acked + declared gaps + saturated
//
// Stats returns these figures; Collector offers them as Prometheus metrics. When a lane, the pending queue or the log is full, a
// stream is not sealed: its counters keep counting and its next slice spans several windows. Usage is not dropped because a ledger is down.
//
// Open starts a recorder that exports by itself. New makes one without background work, for hosts that call SealNow and take what it returns.
//
// It is not a ledger: it knows no balances, prices or money.
package accounting
