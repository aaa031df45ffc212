package canon

// Head is the head of a sealed slice: its place in its stream's chain and the window that it covers.
type Head struct {
	V            uint64  // wire version, 1
	Seq          uint64  // 0 is the first of a stream; contiguous; at most 2^63-1
	Gap          *Gap    // not nil: declares lost slices just before this one
	Prev         *Digest // digest of the previous slice; after a gap, of the last known one; nil only at seq 0 or where the gap starts at 0
	Tenant       ID
	Writer       ID
	Amnesia      bool
	Dimension    string // [a-z][a-z0-9_]{0,62}
	SealedAtMS   uint64 // Unix milliseconds; never decreases along a stream
	WindowStartS uint64 // Unix seconds, inclusive
	WindowEndS   uint64 // Unix seconds, exclusive
}

// Gap declares that the slices From..To (inclusive) of the stream are lost.
type Gap struct {
	From, To uint64
	Units    *uint64 // units lost with them; nil where unknown
	Reason   string  // [a-z][a-z0-9_]{0,62}
}

// Row is one counter of a slice: Inc units of the slice's tenant and dimension on an object.
type Row struct {
	Namespace uint32
	Subject   ID
	Inc       uint64 // at least 1
}

// SealedSlice is one slice in its canonical bytes, with its digest. The zero value is no slice.
// It is immutable; a SealedSlice whose bytes belong to a pool says so where it is handed out.
type SealedSlice struct {
	bytes  []byte
	digest Digest
	head   Head
	rows   int // offset of the first row in bytes
	n      int // number of rows
}

// Bytes returns the canonical DAG-CBOR. The caller must not change it.
func (s SealedSlice) Bytes() []byte { return s.bytes }

// Digest returns the BLAKE3-256 of Bytes.
func (s SealedSlice) Digest() Digest { return s.digest }

// Head returns the slice's head.
func (s SealedSlice) Head() Head { return s.head }

// Len returns the number of rows.
func (s SealedSlice) Len() int { return s.n }
