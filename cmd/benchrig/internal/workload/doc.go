// Package workload makes the load: the specification's workloads W1 to W4 as deterministic streams of increments, and the
// generator's own totals per key, against which conservation is proved.
//
// A workload has Streams() = tenants × dimensions streams of Keys keys each; key number i belongs to stream i / Keys.
// Ids are derived from the seed, never stored per key, so that a large workload costs the process no memory but its
// totals. One Generator serves one producer; the sequence of a generator depends on the seed, the producer's number
// and the number of producers only.
//
// This package shares no code with the recorder, the encoder or the ledger but the Key type itself.
package workload
