package ledger

import (
	"math/big"
	"math/bits"
)

// u128 is an exact sum. It can't overflow: a file holds fewer than 2^64 rows, and a row is below 2^64.
type u128 struct{ hi, lo uint64 }

func (u *u128) add(v uint64) {
	var c uint64
	u.lo, c = bits.Add64(u.lo, v, 0)
	u.hi += c
}

func (u *u128) addAll(v u128) {
	var c uint64
	u.lo, c = bits.Add64(u.lo, v.lo, 0)
	u.hi, _ = bits.Add64(u.hi, v.hi, c)
}

// big returns the value as an integer of its own.
func (u u128) big() *big.Int {
	b := new(big.Int).SetUint64(u.hi)
	return b.Add(b.Lsh(b, 64), new(big.Int).SetUint64(u.lo))
}
