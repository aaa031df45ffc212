// Package rig runs one workload from end to end: it opens a recorder with the sinks asked for, offers the load, watches
// what the recorder says of itself, closes it, reads the ledger back and judges the whole.
package rig
