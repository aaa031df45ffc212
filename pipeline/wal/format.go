package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/ron-accounting/ron-accounting/canon"
)

// The wire constants of format version 2. Frozen: a change of any of them is another version.
const (
	preambleMagic = "RONWAL\r\n" // a text-mode transfer destroys it
	formatVersion = 2
	oldVersion    = 1 // see v1.go
	preambleSize  = 16

	frameMagic   = 0x00_57_52_FE // bytes FE 'R' 'W', then the version
	frameFixed   = 64            // header before the fields
	frameCheck   = 4             // CRC-32C after them
	maxFields    = 512
	maxHeader    = frameFixed + maxFields + frameCheck
	maxBody      = 16 << 20
	maxDimension = 63
	maxSinkName  = 64
	maxSinks     = 255

	kindInvalid = 0
	kindSegment = 1
	kindHeads   = 2
	kindCursors = 3
	kindState   = 4
	kindEntry   = 5
	kindCommit  = 6
	kindMark    = 7
	kindAcks    = 8
	kindEnd     = 9 // first unused

	entryFixed   = 16 + 16 + 8 + 8 + 32 + 16 + 16 + 8 + 8 + 8 + 8 + 1 // fields of an entry before its dimension
	commitFields = 8 + 2*32 + 8 + 8 + 16
	stateFields  = 8 + 2*32 + 16 + 8 + 8
	markFields   = 16
	acksFields   = 16
	countFields  = 8
	segFixed     = 16 + 16 + 8 + 8 + 1 + 4 + 4

	flagPrev  = 1 << 0 // entry: Prev is meaningful
	flagGap   = 1 << 1 // entry: GapFrom is meaningful
	flagMoved = 1 << 2 // entry: a copy of a committed one; needs no commit of its own
	flagNext  = 1 << 3 // commit, state: the second file is meaningful
	flagLost  = 1 << 4 // state: Epoch is known, the file states are not

	headKnown   = 1 << 0 // head record: the digest is known
	headRetired = 1 << 1 // head record: of an earlier writer
	headVague   = 1 << 2 // head record: damage has made a step in the cumulative units, and it is not all acked yet
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// header is the part that all frames have, as read.
type header struct {
	kind, flags byte
	fields      []byte // aliases the read buffer
	body        int
	seg         uint64
	off         int64
	digest      canon.Digest
}

// size is the frame's length in the file.
func (h *header) size() int64 { return frameSize(len(h.fields), h.body) }

func frameSize(fields, body int) int64 { return frameFixed + int64(fields) + frameCheck + int64(body) }

// beginFrame appends the fixed header of a frame; its fields follow, then endFrame.
func beginFrame(b []byte, kind, flags byte, seg uint64, off int64, body int, digest *canon.Digest) []byte {
	b = le.AppendUint32(b, frameMagic|formatVersion<<24)
	b = append(b, kind, flags, 0, 0)
	b = le.AppendUint32(b, uint32(body))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, seg)
	b = le.AppendUint64(b, uint64(off))
	return append(b, digest[:]...)
}

// endFrame closes the header that starts at b[start:]: its length of fields and its check.
func endFrame(b []byte, start int) []byte {
	le.PutUint16(b[start+6:], uint16(len(b)-start-frameFixed))
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHeader reads the header at the start of b, which has maxHeader bytes unless the file ends; ok is false where b holds none.
func parseHeader(b []byte, version uint32, seg uint64, off int64) (h header, ok bool) {
	if len(b) < frameFixed+frameCheck {
		return h, false
	}
	if le.Uint32(b) != frameMagic|version<<24 || le.Uint64(b[16:]) != seg || le.Uint64(b[24:]) != uint64(off) {
		return h, false
	}
	fields := int(le.Uint16(b[6:]))
	body := le.Uint32(b[8:])
	if fields > maxFields || body > maxBody || le.Uint32(b[12:]) != 0 || b[4] == kindInvalid || b[4] >= kindEnd {
		return h, false
	}
	n := frameFixed + fields
	if len(b) < n+frameCheck || crc32.Checksum(b[:n], castagnoli) != le.Uint32(b[n:]) {
		return h, false
	}
	h = header{kind: b[4], flags: b[5], fields: b[frameFixed:n], body: int(body), seg: seg, off: off}
	copy(h.digest[:], b[32:])
	return h, true
}

func appendPreamble(b []byte, version uint32) []byte {
	start := len(b)
	b = append(b, preambleMagic...)
	b = le.AppendUint32(b, version)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parsePreamble returns the version of a segment; ok is false where the preamble is damaged or no preamble.
func parsePreamble(b []byte) (version uint32, ok bool) {
	if len(b) < preambleSize || string(b[:8]) != preambleMagic || crc32.Checksum(b[:12], castagnoli) != le.Uint32(b[12:]) {
		return 0, false
	}
	return le.Uint32(b[8:]), true
}

func appendUnits(b []byte, u Units) []byte { return le.AppendUint64(le.AppendUint64(b, u.Lo), u.Hi) }

func appendFile(b []byte, f FileState) []byte {
	b = append(b, f.ID[:]...)
	b = le.AppendUint64(b, f.Rows)
	return le.AppendUint64(b, f.Fingerprint)
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// decoder reads fields in order; short input sets bad and yields zeros, so that a caller checks once.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return le.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return le.Uint64(p)
	}
	return 0
}

func (d *decoder) id() (id [16]byte)        { copy(id[:], d.take(16)); return id }
func (d *decoder) digest() (g canon.Digest) { copy(g[:], d.take(32)); return g }
func (d *decoder) units() Units             { return Units{Lo: d.u64(), Hi: d.u64()} }
func (d *decoder) name() string             { return string(d.take(int(d.u8()))) }
func (d *decoder) file() FileState          { return FileState{ID: d.id(), Rows: d.u64(), Fingerprint: d.u64()} }
func (d *decoder) nameIn(t *names) string   { return t.get(d.take(int(d.u8()))) }
func (d *decoder) streamIn(t *names) (s Stream) {
	s.Writer, s.Tenant = d.id(), d.id()
	s.Dimension = d.nameIn(t)
	return s
}

// done reports that the input was used up exactly.
func (d *decoder) done() bool { return !d.bad && len(d.b) == 0 }

// names interns the few dimension names, so that reading 200,000 entries makes three strings.
type names struct{ m map[string]string }

func (t *names) get(b []byte) string {
	if s, ok := t.m[string(b)]; ok {
		return s
	}
	if t.m == nil {
		t.m = make(map[string]string)
	}
	s := string(b)
	t.m[s] = s
	return s
}

func appendStream(b []byte, s Stream) []byte {
	b = append(b, s.Writer[:]...)
	b = append(b, s.Tenant[:]...)
	return appendName(b, s.Dimension)
}
