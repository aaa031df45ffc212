package canon

import "unsafe"

// What asm.EncodeRows takes a Row for: an index that is not 0 does not compile.
var (
	_ = [1]byte{}[unsafe.Offsetof(Row{}.Namespace)]
	_ = [1]byte{}[unsafe.Offsetof(Row{}.Subject)-4]
	_ = [1]byte{}[unsafe.Offsetof(Row{}.Inc)-24]
	_ = [1]byte{}[unsafe.Sizeof(Row{})-32]
	_ = [1]byte{}[MaxRowSize-32] // asm.MaxRow
)
