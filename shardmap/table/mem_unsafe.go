package table

// The only file of this package that turns addresses into pointers. Every address computed here lies inside the
// region of one Gen; rows and columns are checked by the callers, who get them from Home or from a count below Cols.

import "unsafe"

// Slot returns row's slot as *S, an array of exactly Layout.Words words.
func Slot[S any](g *Gen, row uint32) *S {
	return (*S)(unsafe.Add(g.slots, uintptr(row)*unsafe.Sizeof(*(*S)(nil))))
}

// word returns word i of row's slot.
func (g *Gen) word(row uint32, i int) *uint64 {
	return (*uint64)(unsafe.Add(g.slots, (uintptr(row)*uintptr(g.words)+uintptr(i))*8))
}

// hint returns the hint of bucket b.
func (g *Gen) hint(b uint64) *uint8 { return (*uint8)(unsafe.Add(g.hints, b)) }

// cell returns the counter of row in column col.
func (g *Gen) cell(col int, row uint32) *uint64 {
	return (*uint64)(unsafe.Add(g.cells, (uintptr(col)*g.stride+uintptr(row))*8))
}

// columns returns all columns, one behind the other, stride words apart.
func (g *Gen) columns() []uint64 { return unsafe.Slice((*uint64)(g.cells), int(g.stride)*(g.cols+1)) }

// words returns n words of the region.
func words(p unsafe.Pointer, n uint32) []uint64 { return unsafe.Slice((*uint64)(p), int(n)) }

// array returns n values of T, which holds no pointers, at p.
func array[T any](p unsafe.Pointer, n int) []T { return unsafe.Slice((*T)(p), n) }

func bytePointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func at(p unsafe.Pointer, off uintptr) unsafe.Pointer { return unsafe.Add(p, off) }

// wordsAsBytes views w as bytes, for regions on the heap that must be 8-aligned on every platform.
func wordsAsBytes(w []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w)*8)
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
