package conserve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Counters is what a counter file has open.
type Counters struct {
	ID        [16]byte
	Committed uint64 // the last epoch that it knows to be in the log
	Open      map[Key]uint64
}

const (
	countersHeader = 32 << 10
	countersSlot   = 8 // words of a slot: tenant, subject, namespace and dimension, stream, one free, tag
)

// ReadCounters reads a counter file that nobody maps, by its documented layout: what is open are the cells less the base area of epoch.
// A file that is not there has nothing open.
func ReadCounters(path string, epoch uint64) (*Counters, error) {
	c := &Counters{Open: map[Key]uint64{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	bad := func(what string) (*Counters, error) { return nil, fmt.Errorf("counter file %s: %s", path, what) }
	if len(b) < countersHeader || string(b[:8]) != "RONCOUNT" || binary.LittleEndian.Uint32(b[8:]) != 1 {
		return bad("not a counter file of version 1")
	}
	slots, words, cols := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	copy(c.ID[:], b[120:])
	c.Committed = binary.NativeEndian.Uint64(b[countersHeader-8:])
	names := b[144:]
	names = names[1+names[0]:]
	dims := make([]string, binary.LittleEndian.Uint16(names))
	names = names[2:]
	for i := range dims {
		dims[i] = string(names[1 : 1+names[0]])
		names = names[1+names[0]:]
	}
	// The sections lie one behind the other, each from a multiple of 128 on: slots, two bases, the columns' cells and the shared ones,
	// spills, two high bases. A column is a multiple of 128 bytes long.
	round := func(n uint64) uint64 { return (n + 127) &^ 127 }
	column := round(slots * 8)
	size := round(slots*words*8) + 2*column + column*(cols+1) + 3*column
	if words != countersSlot || uint64(len(b)) < countersHeader+size {
		return bad("header and size do not fit")
	}
	m := b[countersHeader:]
	word := func(section, i uint64) uint64 { return binary.NativeEndian.Uint64(m[section+i*8:]) }
	base := round(slots*words*8) + column*(epoch&1)
	cells := round(slots*words*8) + 2*column
	spill := cells + column*(cols+1)
	for row := range slots {
		slot := row * words
		value := uint64(0)
		for col := range cols + 1 {
			value += word(cells+column*col, row)
		}
		if word(spill, row)>>2 != 0 {
			return bad("a count above 2^64: not read here")
		}
		open := value - word(base, row)
		if open == 0 {
			continue
		}
		if word(0, slot+7)>>63 == 0 {
			return bad(fmt.Sprintf("row %d counts %d without a key", row, open))
		}
		var k Key
		for i := range uint64(2) {
			binary.LittleEndian.PutUint64(k.Tenant[8*i:], word(0, slot+i))
			binary.LittleEndian.PutUint64(k.Subject[8*i:], word(0, slot+2+i))
		}
		k.Namespace = uint32(word(0, slot+4))
		d := int(uint8(word(0, slot+4) >> 32))
		if d >= len(dims) {
			return bad(fmt.Sprintf("row %d has dimension %d of %d", row, d, len(dims)))
		}
		k.Dimension = dims[d]
		c.Open[k] += open
	}
	return c, nil
}

// AddOpen enters what is open as if it had been sealed.
func (b *Book) AddOpen(c *Counters) {
	for k, u := range c.Open {
		a, i := k.split()
		b.enter(b.account(a), i, u)
	}
}
