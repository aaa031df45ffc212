package table

import (
	"math/big"
	"math/bits"
)

// U128 is an unsigned 128-bit integer: a sum of units that no run can overflow.
type U128 struct{ Hi, Lo uint64 }

// Add returns a+b modulo 2^128.
func (a U128) Add(b U128) U128 {
	lo, c := bits.Add64(a.Lo, b.Lo, 0)
	hi, _ := bits.Add64(a.Hi, b.Hi, c)
	return U128{hi, lo}
}

// Sub returns a-b modulo 2^128.
func (a U128) Sub(b U128) U128 {
	lo, c := bits.Sub64(a.Lo, b.Lo, 0)
	hi, _ := bits.Sub64(a.Hi, b.Hi, c)
	return U128{hi, lo}
}

func (a U128) less(b U128) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// IsZero reports a = 0.
func (a U128) IsZero() bool { return a.Hi|a.Lo == 0 }

// String returns a in decimal.
func (a U128) String() string {
	b := new(big.Int).SetUint64(a.Hi)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(a.Lo)).String()
}

// addTo adds 64 bits in place.
func (a *U128) addTo(lo uint64) {
	var c uint64
	a.Lo, c = bits.Add64(a.Lo, lo, 0)
	a.Hi += c
}
