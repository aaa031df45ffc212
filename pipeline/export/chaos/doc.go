// Package chaos makes an exporter misbehave as networks and ledgers do, by a plan that its seed determines: the same seed
// gives the n-th call the same fate, whatever goroutine makes it. Tests and `benchrig run --chaos` use it.
//
// Faults are put around the true exporter and never invent an answer: an ack is only passed on from it, and gap or
// conflict come from it alone. So under any plan the ledger must end up with exactly what a quiet one would hold.
package chaos
