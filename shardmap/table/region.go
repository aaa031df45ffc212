package table

// Region gives a map its memory.
type Region interface {
	// Alloc returns n zeroed bytes, 8-aligned and free of pointers, that stay put until free is called.
	// The map calls free once no goroutine can be in that memory any more.
	Alloc(n int) (mem []byte, free func(), err error)
}

// Heap is memory of the Go heap, free of pointers, so that the collector does not scan it.
type Heap struct{}

// Alloc implements Region.
func (Heap) Alloc(n int) ([]byte, func(), error) {
	return wordsAsBytes(make([]uint64, (n+7)/8)), func() {}, nil
}
