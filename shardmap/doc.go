// Package shardmap holds the counters: maps from a fixed-size key to a 64-bit count, recorded into by any number of
// goroutines in nanoseconds, without a lock, and read by one sealer.
package shardmap
