package table

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	maxColumns = 4096
	live       = 1 << 63 // set in the tag of every published slot
	hintShift  = 3       // eight buckets a home: a hint is then wanted by one key in most buckets
	maxHint    = 255
	claimed    = 1 // tag of a slot that an inserter is filling
)

// Gen is one generation of a map: an index of slots, never moved or reused while it lives, and the counters of each.
// Recorders read its first cache line and own; nothing in them changes after it is published.
type Gen struct {
	slots   unsafe.Pointer
	cells   unsafe.Pointer // cols columns and the shared one, stride words apart
	hints   unsafe.Pointer // a byte a bucket: how far from home its keys are, see insert.go
	limit   uint64         // a P's cell stays below; a power of two
	buckets uint64         // homes << hintShift
	stride  uintptr        // words
	cols    int
	id      uint32 // changes with each generation
	n       uint32 // slots: the homes, and maxHint more so that a hint never points beyond
	words   int

	own [DirectColumns]unsafe.Pointer // the first cell of each column, for the direct path; nil where there is none

	usesShared atomic.Uint32 // the shared column has been written
	wide       atomic.Uint32 // some spill word has been written
	used       atomic.Uint32 // rows taken; at most capacity
	capacity   uint32

	spill  []uint64    // see count.go
	baseLo [2][]uint64 // sealed bases, current at W&1
	baseHi [2][]uint64 // their high words: zero, and untouched, unless wide
	log    []uint32    // row+1 in the order of insertion, 0 where an insert is under way

	// The sealer's, by row.
	open []uint64 // units not yet sealed, as the last Scan saw them
	seen []uint16 // sweep number, modulo 2^16, at which a row was last open or made
	dims []uint8

	region []byte
	free   func()
}

// Bucket returns the number of the bucket of hash h: keys of one bucket have one home and share a hint.
func (g *Gen) Bucket(h uint64) uint64 { return (h >> 32) * g.buckets >> 32 }

// First returns the row to look at first for a key of bucket b: its home, or where its hint says.
func (g *Gen) First(b uint64) uint32 {
	if !Pinned {
		return g.Home(b)
	}
	return uint32(b>>hintShift) + uint32(*g.hint(b))
}

// Home returns where the probe for a key of bucket b begins if the key is not at First.
func (g *Gen) Home(b uint64) uint32 { return uint32(b >> hintShift) }

// Slots returns the number of slots: row numbers are below it.
func (g *Gen) Slots() uint32 { return g.n }

// Tag returns what the tag of row holds if the key with tag seed q is there.
func Tag(q uint64, row uint32) uint64 { return (q + uint64(row)) | live }

// homesFor returns the number of homes for a capacity. With hints nineteen keys in twenty are found at the first look even
// when four homes in five are taken.
func homesFor(capacity int) int { return capacity + capacity/4 + 1 }

// section is one array of the region.
type section struct{ off, size uintptr }

// plan places the arrays in one region: first what every seal touches, then what only large counts touch.
type plan struct {
	slots, cells, spill section
	lo, hi              [2]section
	stride, total       uintptr
}

func planFor(n, words, cols int) (p plan) {
	off := uintptr(0)
	take := func(bytes int) section {
		s := section{off, uintptr(bytes)}
		off = (off + uintptr(bytes) + 127) &^ 127
		return s
	}
	p.stride = (uintptr(n)*8 + 127) &^ 127 / 8
	p.slots = take(n * words * 8)
	p.lo[0], p.lo[1] = take(n*8), take(n*8)
	p.cells = take(int(p.stride) * (cols + 1) * 8)
	p.spill = take(n * 8)
	p.hi[0], p.hi[1] = take(n*8), take(n*8)
	p.total = off
	return p
}

// addSide gives g what is neither in a counter file nor shared with another process: outside the Go heap too, where the region's
// pages cost nothing before they are used and do not move the collector's pace.
func (g *Gen) addSide(homes, capacity int) (free func(), err error) {
	n := int(g.n)
	hints := 0
	if Pinned {
		hints = homes << hintShift
	}
	mem, free, err := DefaultRegion().Alloc(n*8 + capacity*4 + n*2 + n + hints)
	if err != nil {
		return nil, err
	}
	p := bytePointer(mem) // the widest first: each array is aligned
	g.open = words(p, g.n)
	p = at(p, uintptr(n)*8)
	g.log = array[uint32](p, capacity)
	p = at(p, uintptr(capacity)*4)
	g.seen = array[uint16](p, n)
	p = at(p, uintptr(n)*2)
	g.dims = array[uint8](p, n)
	if Pinned {
		g.hints = at(p, uintptr(n))
	}
	return free, nil
}

func (c *Core) newGen(id uint32, capacity int) (*Gen, error) {
	homes, cols := homesFor(capacity), columns(&c.cfg)
	n := homes + maxHint
	p := planFor(n, c.layout.Words, cols)
	mem, free, err := c.cfg.Region.Alloc(int(p.total))
	if err != nil {
		return nil, fmt.Errorf("%w: region of %d bytes for %d rows: %w", ErrConfig, p.total, capacity, err)
	}
	g := &Gen{
		limit: 1 << (63 - bits.Len(uint(max(cols, 1)-1))), n: uint32(n), buckets: uint64(homes) << hintShift, stride: p.stride, cols: cols, id: id,
		words: c.layout.Words, capacity: uint32(capacity), region: mem,
	}
	freeSide, err := g.addSide(homes, capacity)
	if err != nil {
		free()
		return nil, fmt.Errorf("%w: side arrays for %d rows: %w", ErrConfig, capacity, err)
	}
	g.place(mem, p)
	once := sync.OnceFunc(func() { free(); freeSide() })
	g.free = once
	// For maps that are dropped. Collection stops the world after it has found g unreachable, so not even a pinned
	// section that holds no more than a slot's address can be in the memory when it goes.
	runtime.AddCleanup(g, func(f func()) { f() }, once)
	return g, nil
}

// place lays the arrays into memory.
func (g *Gen) place(mem []byte, p plan) {
	m := bytePointer(mem)
	g.region, g.stride = mem, p.stride
	g.slots, g.cells = at(m, p.slots.off), at(m, p.cells.off)
	for i := range min(g.cols, DirectColumns) {
		g.own[i] = unsafe.Pointer(g.cell(i, 0))
	}
	g.spill = words(at(m, p.spill.off), g.n)
	for i := range 2 {
		g.baseLo[i] = words(at(m, p.lo[i].off), g.n)
		g.baseHi[i] = words(at(m, p.hi[i].off), g.n)
	}
}
