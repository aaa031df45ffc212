// Package shardmap holds the counters: maps from a fixed-size key to a count, recorded into by any number of goroutines
// in nanoseconds without a lock, and read by one sealer. Wide is keyed by 37 bytes, Compact by 21; gen/shardmap writes
// others. What does not depend on the key is in package table.
//
// # Terms
//
//   - Row: a key and its counters; its number is its slot's. Rows are never moved or reused within a generation.
//   - Slot: the key, its stream's number and its tag, in one or half a cache line.
//   - Tag: a keyed hash of key and row, stored last: a slot with a tag is whole. Given the full words of the key, the
//     tag differs with the rest of it, so that comparing both is comparing the key.
//   - Home: where the probe for a key begins. Hint: a byte a bucket (an eighth of a home) that says how far from home
//     the key is to be found; 19 keys in 20 are found at the first look with four homes in five taken.
//   - Cell: a row's count in one column. Column: the cells that one P writes. Shared column: for all others.
//   - Value: what was ever counted on a row in this generation, 128 bits: cells + shared cell + 2^64 × its wraps.
//   - Base: how much of the value has been sealed. There are two areas; base[W&1] is current, W the last committed epoch.
//   - Open: value - base[W&1].
//   - Generation: an index and its counters. A sweep makes a new one without the idle rows.
//
// # Layout of a generation
//
// One region without pointers, outside the Go heap (huge pages advised) or in a mapped file:
//
//	slots    [tenant 16 | subject 16 | ns 4, dimension 1, 0 | stream 4, 0 | 0 | tag 8]   64 bytes a slot (Wide)
//	base     [8] × slots, twice                                                         current: W&1
//	cells    [8] × slots, once a P, then the shared column                              row number = slot number: the
//	                                                                                    cell's miss runs beside the slot's
//	spill    [8] × slots      wraps of the shared cell } touched only by rows that hold
//	base hi  [8] × slots, twice                        } 2^62 and more in the shared cell
//
// and beside it, never in a file: hints 8 a home; sweep number 2, dimension 1, and on the heap open 8 a slot; 4 a row for
// the log of insertions. Capacity is four fifths of the homes: 136 bytes a row of Wide plus 10 a row and P.
//
// # Memory model
//
//   - Core.gen publishes a generation, by an atomic store after it is filled; nil after Close. A recorder loads it
//     inside the pin (runtime.procPin, or by being in assembly, which is never preempted: table/direct.go), so a stop of the world begun after the store (runtime.ReadMemStats) and
//     completed is a grace period: nobody is in the old one any more. On the atomic path (-race, purego, 32 bits)
//     sections are counted instead.
//   - A slot belongs to the inserter that set its tag from 0 to claimed by compare-and-swap, under the lock of the
//     bucket's partition; the atomic store of the tag publishes it, for good. The log then shows it to the sealer, who owns what it has read of the log.
//   - A cell has one writer, its P; the sealer reads it atomically and may see it late, never torn: counters only grow,
//     so what is missed is open. A record synchronizes before the scan that sees it.
//   - A shared cell is written by compare-and-swap. Its top two bits, and its spill word, belong to the holder of the
//     partition lock (table/count.go).
//   - A hint is a plain byte, set once under the partition lock. Who misses it takes the slow path.
//   - Bases, open and what else is the sealer's belong to one goroutine; Totals takes the sealer's lock to read them.
//   - Close, Sweep: swap the pointer under all partition locks, then grace. Locks are never taken inside the pin.
//
// # Exactness
//
// Every increment answered OK is in one seal or still open. Cells stay below 2^63 ÷ Ps, greater increments are added to
// the shared cell under a lock with 128-bit carry, so no sum wraps however large the increments. A sweep reads the
// frozen old counters after the grace and adds what is open to the new ones; a row that was to go and was counted on
// meanwhile comes back.
//
// # Limits
//
// Capacity is fixed when the map is made. A stream's number must fit the layout's StreamBits. A sweep's two generations are
// in memory, or on the tmpfs, together while it lasts; of a map in a file records wait while the second takes its place.
package shardmap
