package pipeline

import (
	"math"
	"math/big"
	"math/bits"
)

// u128 is an exact unsigned 128-bit count of units.
type u128 struct{ hi, lo uint64 }

func (a u128) add(b u128) u128 {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) add64(b uint64) u128 { return a.add(u128{lo: b}) }

func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) isZero() bool { return a.hi|a.lo == 0 }

// clamp returns the count as a uint64, at most 2^64-1.
func (a u128) clamp() uint64 {
	if a.hi != 0 {
		return math.MaxUint64
	}
	return a.lo
}

func (a u128) float() float64 { return float64(a.hi)*0x1p64 + float64(a.lo) }

// signed returns a, taken as two's complement, as a float: a difference of two counts.
func (a u128) signed() float64 {
	if int64(a.hi) < 0 {
		return -u128{}.sub(a).float()
	}
	return a.float()
}

func (a u128) big() *big.Int {
	v := new(big.Int).SetUint64(a.hi)
	return v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(a.lo))
}

func (a u128) String() string { return a.big().String() }

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
	return Units{e[0].clamp(), e[1].clamp(), e[2].clamp(), e[3].clamp(), e[4].clamp(), e[5].clamp(), e[6].clamp(), e}
}

// Big returns a state's exact count; nil for an unknown state.
func (u Units) Big(state string) *big.Int {
	for i, s := range unitStates {
		if s == state {
			return u.exact[i].big()
		}
	}
	return nil
}

// Imbalance is Recorded less all the states that it divides into: 0, or an alarm.
func (u Units) Imbalance() *big.Int {
	d := u.exact[0].big()
	for _, part := range u.exact[1:6] {
		d.Sub(d, part.big())
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
