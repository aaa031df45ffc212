package table

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Packed is a key as the words of its slot: the key's words, the stream's bits zero, the rest zero.
type Packed [16]uint64

// Seed keys the hash of one map. Whoever does not know it can't choose keys that collide.
type Seed [6]uint64

// Layout describes a slot to the code that does not know the key's type. Generated code fills it in.
type Layout struct {
	Name        string // recorded in counter files
	Words       int    // of a slot; the last is the tag
	StreamWord  int    // the word with the stream's number
	StreamShift uint   // where it begins
	StreamBits  uint   // how long it is, at most 32
	DimWord     int    // the word with the dimension; -1: keys have none, all count as dimension 0
	DimShift    uint   // where its 8 bits begin
	Hash        func(key *Packed, seed *Seed) (h, q uint64)
}

// Config says how large a map is and where it lives. The zero value of every field but Capacity is valid.
type Config struct {
	Capacity   int    // rows; a key beyond it is Full
	Partitions int    // of the index, each with an insert lock; a power of two; default 64
	Columns    int    // columns of cells, one a P; default GOMAXPROCS when a generation is made; beyond it Ps share one
	Region     Region // where slots, cells and bases live; nil: huge-page advised memory outside the Go heap, where there is such
	Seed       *Seed  // of the hash; nil: random. Fixed seeds are for tests: they make hash flooding possible
}

// MaxCapacity is the largest Config.Capacity.
const MaxCapacity = 1 << 30

func (cfg Config) check(l *Layout) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if cfg.Capacity < 1 || cfg.Capacity > MaxCapacity {
		bad("Capacity: got %d, want 1 to %d", cfg.Capacity, MaxCapacity)
	}
	if p := cfg.Partitions; p < 1 || p > 1<<16 || bits.OnesCount(uint(p)) != 1 {
		bad("Partitions: got %d, want a power of two up to 65536", p)
	}
	if cfg.Columns < 0 || cfg.Columns > maxColumns {
		bad("Columns: got %d, want 0 to %d", cfg.Columns, maxColumns)
	}
	if l.Words < 2 || l.Words > len(Packed{}) || l.StreamBits < 1 || l.StreamBits > 32 || l.Hash == nil {
		bad("Layout %q: not made by the generator", l.Name)
	}
	return errors.Join(errs...)
}

type partition struct {
	sync.Mutex
	gate struct{}
	_    [56]byte // a lock a cache line
}

// Core is the half of a map that does not know the key's type. Generated maps embed it.
// Fields: gen, with quick, is the handover to recorders; parts guard inserts and large adds; everything below sealMu is the
// sealer's, and is read by Totals under sealMu.
type Core struct {
	gen   atomic.Pointer[Gen] // nil after Close
	quick atomic.Pointer[Gen] // the same for the direct path; nil where it is not used
	seed  Seed
	_     [64]byte // what recorders read is not written after Init except at a sweep

	layout  Layout
	cfg     Config
	parts   []partition
	buckets uint64 // as in every Gen of this map
	refused func(key *Packed, inc uint64)
	phase   uint32        // of the atomic path's reader counts
	readers []readerCount // 2*readerStripes

	fileID    [16]byte // zero without a counter file
	committed []uint64 // one word, in the file's header; nil without
	lock      *os.File // of the counter file
	file      *ownFile // nil without

	sealMu sync.Mutex
	sealer
}

// Init makes the first generation. c must be zero; it must not be copied afterwards.
func (c *Core) Init(l Layout, cfg Config) error {
	if cfg.Partitions == 0 {
		cfg.Partitions = 64
	}
	if err := cfg.check(&l); err != nil {
		return err
	}
	if cfg.Seed != nil {
		c.seed = *cfg.Seed
	} else if c.seed = randomSeed(); c.seed == (Seed{}) {
		return fmt.Errorf("%w: no randomness for the hash seed", ErrConfig)
	}
	c.seed[3] |= 1 // an odd factor keeps the tails of keys apart in their tags
	if cfg.Region == nil {
		cfg.Region = DefaultRegion()
	}
	c.layout, c.cfg = l, cfg
	c.parts = make([]partition, cfg.Partitions)
	c.buckets = uint64(homesFor(cfg.Capacity)) << hintShift
	c.readers = make([]readerCount, 2*readerStripes)
	g, err := c.newGen(1, cfg.Capacity)
	if err != nil {
		return err
	}
	c.sealer.init(g)
	c.publish(g)
	return nil
}

func randomSeed() (s Seed) {
	var b [8 * len(s)]byte
	rand.Read(b[:])
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

// Current returns the generation to count in, nil after Close. Call it inside the pin.
func (c *Core) Current() *Gen { return c.gen.Load() }

// Seed returns the hash seed.
func (c *Core) Seed() *Seed { return &c.seed }

// Capacity returns the number of rows that fit.
func (c *Core) Capacity() int { return c.cfg.Capacity }

func (c *Core) lockAll() {
	for i := range c.parts {
		c.parts[i].Lock()
	}
}

func (c *Core) unlockAll() {
	for i := range c.parts {
		c.parts[i].Unlock()
	}
}

// partOf returns the partition whose lock guards inserts of keys with hash h: a run of whole buckets, whose number is
// the same in every generation.
func (c *Core) partOf(h uint64) *partition {
	b := (h >> 32) * c.buckets >> 32
	return &c.parts[b*uint64(len(c.parts))/c.buckets]
}

// Close stops the intake: when it returns, every increment answered OK is where Scan finds it and every later one is
// answered Closed. Scan, Commit and Totals still work. Calling it again does nothing.
func (c *Core) Close() {
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	if c.gen.Load() == nil {
		return
	}
	c.lockAll()
	c.publish(nil)
	c.unlockAll()
	c.grace()
}

func columns(cfg *Config) int {
	if !Pinned {
		return 0
	}
	if cfg.Columns > 0 {
		return cfg.Columns
	}
	return min(runtime.GOMAXPROCS(0), maxColumns)
}
