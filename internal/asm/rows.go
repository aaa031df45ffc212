package asm

// MaxRow is the most bytes that a row takes, and what every kernel may write of one.
const MaxRow = 32

// RowTally is what the rows encoded add up to.
type RowTally struct {
	Units   [2]uint64 // low word, high word
	N       int       // rows with units
	Ordered bool      // they ascend strictly by key
}
