package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// The frozen constants of the file; doc.go has the picture.
const (
	formatName    = "ron-accounting ledger"
	formatVersion = 1

	headerSize   = 128 // of a record, before the slice
	tipSize      = 128
	tipsPerBlock = 15 // 15*128 bytes: two blocks and their bbolt headers fill a page of 4 KiB
	chunkTarget  = 1 << 20
	maxSlice     = 1 << 20 // the wire format's limit
)

var (
	bucketMeta    = []byte("meta")
	bucketStreams = []byte("streams")
	bucketTips    = []byte("tips")
	bucketGaps    = []byte("gaps")
	bucketLog     = []byte("log")
	keyFormat     = []byte("format")
	keyState      = []byte("state")
	keyRecords    = []byte("r")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	be         = binary.BigEndian
)

// place is where a record starts; the zero value is nowhere.
type place struct {
	chunk uint64
	off   uint32
}

func putPlace(b []byte, p place) {
	be.PutUint64(b, p.chunk)
	be.PutUint32(b[8:], p.off)
}

func getPlace(b []byte) place { return place{be.Uint64(b), be.Uint32(b[8:])} }

// header is a record's head.
type header struct {
	size      uint32 // of the slice after it
	stream    uint64
	index     uint64 // among the stream's records, from 0
	seq       uint64
	winStart  uint64
	winEnd    uint64
	units     u128
	prev      place // of index-1
	jump      place // of jumpIndex
	jumpIndex uint64
	digest    canon.Digest
}

func appendHeader(b []byte, h *header) []byte {
	n := len(b)
	b = append(b, make([]byte, headerSize)...)
	p := b[n:]
	be.PutUint32(p, h.size)
	be.PutUint64(p[8:], h.stream)
	be.PutUint64(p[16:], h.index)
	be.PutUint64(p[24:], h.seq)
	be.PutUint64(p[32:], h.winEnd)
	be.PutUint64(p[40:], h.units.hi)
	be.PutUint64(p[48:], h.units.lo)
	putPlace(p[56:], h.prev)
	putPlace(p[68:], h.jump)
	be.PutUint64(p[80:], h.jumpIndex)
	copy(p[88:], h.digest[:])
	be.PutUint64(p[120:], h.winStart)
	be.PutUint32(p[4:], headerSum(p))
	return b
}

func headerSum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:4], castagnoli), castagnoli, p[8:headerSize])
}

// parseHeader reads the header at the start of p, whose record may be p's whole length at most.
func parseHeader(p []byte) (h header, err error) {
	if len(p) < headerSize {
		return h, fmt.Errorf("%d bytes left, want a header of %d", len(p), headerSize)
	}
	if got, want := be.Uint32(p[4:]), headerSum(p); got != want {
		return h, fmt.Errorf("header checksum: got %08x, want %08x", got, want)
	}
	h.size = be.Uint32(p)
	if uint64(h.size) > uint64(len(p)-headerSize) || h.size > maxSlice {
		return h, fmt.Errorf("slice of %d bytes, %d left, at most %d allowed", h.size, len(p)-headerSize, maxSlice)
	}
	h.stream, h.index, h.seq = be.Uint64(p[8:]), be.Uint64(p[16:]), be.Uint64(p[24:])
	h.winEnd, h.winStart = be.Uint64(p[32:]), be.Uint64(p[120:])
	h.units = u128{hi: be.Uint64(p[40:]), lo: be.Uint64(p[48:])}
	h.prev, h.jump, h.jumpIndex = getPlace(p[56:]), getPlace(p[68:]), be.Uint64(p[80:])
	copy(h.digest[:], p[88:])
	return h, nil
}

// tip is the head of a stream's chain and the places from which its records are found. count 0 is an empty stream.
type tip struct {
	number    uint64 // of the stream; not part of the stored tip
	count     uint64 // records; the last one's index is count-1
	seq       uint64
	digest    canon.Digest
	sealedAt  uint64
	winStart  uint64
	winEnd    uint64
	at        place  // the last record
	jumpIndex uint64 // where that record jumps to
	jump      place
	nextIndex uint64 // where the record at jump jumps to
	next      place
	gaps      uint32 // declared so far
}

func putTip(p []byte, t *tip) {
	be.PutUint64(p, t.count)
	be.PutUint64(p[8:], t.seq)
	copy(p[16:], t.digest[:])
	be.PutUint64(p[48:], t.sealedAt)
	be.PutUint64(p[56:], t.winStart)
	be.PutUint64(p[64:], t.winEnd)
	putPlace(p[72:], t.at)
	be.PutUint64(p[84:], t.jumpIndex)
	putPlace(p[92:], t.jump)
	be.PutUint64(p[104:], t.nextIndex)
	putPlace(p[112:], t.next)
	be.PutUint32(p[124:], t.gaps)
}

func getTip(p []byte, number uint64) (t tip) {
	t.number = number
	t.count, t.seq = be.Uint64(p), be.Uint64(p[8:])
	copy(t.digest[:], p[16:])
	t.sealedAt, t.winStart, t.winEnd = be.Uint64(p[48:]), be.Uint64(p[56:]), be.Uint64(p[64:])
	t.at = getPlace(p[72:])
	t.jumpIndex, t.jump = be.Uint64(p[84:]), getPlace(p[92:])
	t.nextIndex, t.next = be.Uint64(p[104:]), getPlace(p[112:])
	t.gaps = be.Uint32(p[124:])
	return t
}

func tipBlock(number uint64) (key [4]byte, slot int) {
	be.PutUint32(key[:], uint32((number-1)/tipsPerBlock))
	return key, int((number - 1) % tipsPerBlock)
}

// state is what the file as a whole holds.
type state struct{ chunks, streams, slices, bytes uint64 }

func (s state) encode() []byte {
	b := be.AppendUint64(nil, s.chunks)
	b = be.AppendUint64(b, s.streams)
	b = be.AppendUint64(b, s.slices)
	return be.AppendUint64(b, s.bytes)
}

// parseState reads what a file of size bytes says of itself. Counts that it can't hold are damage: Verify walks the chunks by their number.
func parseState(b []byte, size int64) (state, error) {
	if len(b) != 32 {
		return state{}, &CorruptError{What: fmt.Sprintf("meta/state: %d bytes, want 32", len(b))}
	}
	s := state{be.Uint64(b), be.Uint64(b[8:]), be.Uint64(b[16:]), be.Uint64(b[24:])}
	if s.slices > uint64(size)/64 || s.chunks > s.slices || s.streams > s.slices || s.bytes > uint64(size) { // a record alone is longer
		return state{}, &CorruptError{What: fmt.Sprintf("meta/state: counts %d chunks, %d streams, %d slices, %d bytes in a file of %d", s.chunks, s.streams, s.slices, s.bytes, size)}
	}
	return s, nil
}

func formatValue(version uint32) []byte {
	return be.AppendUint32(append([]byte(formatName), 0), version)
}

// parseFormat tells whether b is the mark of a ledger, and of which version.
func parseFormat(b []byte) (version uint32, ok bool) {
	rest, ok := bytes.CutPrefix(b, append([]byte(formatName), 0))
	if !ok || len(rest) != 4 {
		return 0, false
	}
	return be.Uint32(rest), true
}

func streamKey(s export.Stream) []byte {
	b := make([]byte, 0, 32+len(s.Dimension))
	return append(append(append(b, s.Writer[:]...), s.Tenant[:]...), s.Dimension...)
}

func parseStreamKey(b []byte) (s export.Stream, ok bool) {
	if len(b) < 33 || len(b) > 32+63 {
		return s, false
	}
	copy(s.Writer[:], b)
	copy(s.Tenant[:], b[16:])
	s.Dimension = string(b[32:])
	return s, true
}

// gapValue stores a gap: from(8) to(8) known(1) units(8) reason.
func gapValue(g *canon.Gap) []byte {
	b := be.AppendUint64(be.AppendUint64(nil, g.From), g.To)
	if g.Units == nil {
		b = be.AppendUint64(append(b, 0), 0)
	} else {
		b = be.AppendUint64(append(b, 1), *g.Units)
	}
	return append(b, g.Reason...)
}

func parseGap(b []byte) (g canon.Gap, ok bool) {
	if len(b) < 25 || b[16] > 1 {
		return g, false
	}
	g.From, g.To, g.Reason = be.Uint64(b), be.Uint64(b[8:]), string(b[25:])
	if b[16] == 1 {
		u := be.Uint64(b[17:])
		g.Units = &u
	}
	return g, true
}
