package pipeline

import (
	"math"
	"math/big"

	"github.com/ron-accounting/ron-accounting/shardmap"
)

// u128 is an exact count of units.
type u128 = shardmap.U128

func u64(v uint64) u128 { return u128{Lo: v} }

// clamp returns the count as a uint64, at most 2^64-1.
func clamp(a u128) uint64 {
	if a.Hi != 0 {
		return math.MaxUint64
	}
	return a.Lo
}

// float returns the count rounded, as metrics carry it.
func float(a u128) float64 { return float64(a.Hi)*0x1p64 + float64(a.Lo) }

func bigInt(a u128) *big.Int {
	v := new(big.Int).SetUint64(a.Hi)
	return v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(a.Lo))
}

// Units are the conservation figures of one dimension, in its units:
//
//	Recorded = Open + Pending + Acked + Gap + Saturated
//
// Each is exact up to 2^64-1 and stays there beyond; Big is exact beyond too. Recorded counts what Record returned nil for, with a WAL
// also in earlier runs; Rejected counts what was refused (ErrBusy, or a Counter used after Close), and is no part of Recorded.
type Units struct {
	Recorded, Open, Pending, Acked, Gap, Saturated, Rejected uint64

	exact [7]u128
}

// unitStates names Units' fields, in their order, as the state label of accounting_units.
var unitStates = [7]string{"recorded", "open", "pending", "acked", "gap", "saturated", "rejected"}

func newUnits(e [7]u128) Units {
	return Units{clamp(e[0]), clamp(e[1]), clamp(e[2]), clamp(e[3]), clamp(e[4]), clamp(e[5]), clamp(e[6]), e}
}

// Big returns a state's exact count; nil for an unknown state.
func (u Units) Big(state string) *big.Int {
	for i, s := range unitStates {
		if s == state {
			return bigInt(u.exact[i])
		}
	}
	return nil
}

// Imbalance is Recorded less all the states that it divides into: 0, or an alarm.
func (u Units) Imbalance() *big.Int {
	d := bigInt(u.exact[0])
	for _, part := range u.exact[1:6] {
		d.Sub(d, bigInt(part))
	}
	return d
}

// Stats are the conservation figures by dimension name, and what the queues hold.
type Stats struct {
	Units         map[string]Units
	Streams       int    // known (tenant, dimension) pairs
	Rows          int    // keys that are being counted
	PendingSlices int    // sealed and not yet acked by every required sink
	Coalesced     uint64 // times that a stream was left to a later window
}
