package conserve

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/blake3"
)

// Log is what a write-ahead log's directory holds, as its files say: read by the byte diagram of its documentation, not by its code.
type Log struct {
	Epoch    uint64   // of the last commit
	FileID   [16]byte // the counter file that it belongs to; zeros: none, or not known
	Segments int
	Slices   map[Stream]map[uint64][]byte // committed bodies that are still there, acked ones too
	Acked    map[Stream]uint64            // seqs below are acked
}

// Pending counts the slices that are not acked.
func (l *Log) Pending() (n int) {
	for s, bodies := range l.Slices {
		for seq := range bodies {
			if seq >= l.Acked[s] {
				n++
			}
		}
	}
	return n
}

// frame is one frame of a segment.
type frame struct {
	kind, flags  byte
	off          int64
	fields, body []byte
	whole        bool // the body fits its digest
}

// Kinds of frames and the flags that matter here.
const (
	frameSegment, frameHeads, frameState, frameEntry, frameCommit, frameAcks = 1, 2, 4, 5, 6, 8
	entryGap, entryMoved                                                     = 2, 4
	stateLost                                                                = 16
)

var frameLE, frameCRC = binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)

// ReadLog reads a log's directory, which nobody may be writing to. What follows the last frame that fits its place and check, or the end that
// a later segment declares, is no part of a segment.
func ReadLog(dir string) (*Log, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	l := &Log{Slices: map[Stream]map[uint64][]byte{}, Acked: map[Stream]uint64{}}
	segments := map[uint64][]frame{}
	ends := map[uint64]int64{}
	var order []uint64
	for _, name := range names {
		num, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".wal"), 16, 64)
		if err != nil {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if len(b) < 16 || string(b[:8]) != "RONWAL\r\n" || frameLE.Uint32(b[8:]) != 2 {
			return nil, fmt.Errorf("log %s: not a segment of version 2", name)
		}
		segments[num] = framesOf(b, num)
		order = append(order, num)
		for _, f := range segments[num] {
			if f.kind == frameSegment && f.whole {
				declaredEnds(f, ends)
			}
		}
	}
	l.Segments = len(order)
	for _, num := range order {
		end, cut := ends[num]
		fs := segments[num]
		if cut {
			fs = slices.DeleteFunc(fs, func(f frame) bool { return f.off >= end })
		}
		l.segment(fs)
	}
	return l, nil
}

// framesOf walks a segment's frames, up to the first place that holds none.
func framesOf(b []byte, num uint64) (out []frame) {
	for off := 16; off+68 <= len(b); {
		h := b[off:]
		fields, body := int(frameLE.Uint16(h[6:])), int(frameLE.Uint32(h[8:]))
		head := 64 + fields + 4
		if frameLE.Uint32(h) != 0x025752FE || frameLE.Uint64(h[16:]) != num || frameLE.Uint64(h[24:]) != uint64(off) || head > len(h) ||
			crc32.Checksum(h[:head-4], frameCRC) != frameLE.Uint32(h[head-4:]) || body > len(h)-head {
			return out
		}
		f := frame{kind: h[4], flags: h[5], off: int64(off), fields: h[64 : head-4], body: h[head : head+body]}
		f.whole = body == 0 || blake3.Sum256(f.body) == [32]byte(h[32:64])
		out = append(out, f)
		off += head + body
	}
	return out
}

// declaredEnds notes where a segment's header says that the older ones end.
func declaredEnds(f frame, ends map[uint64]int64) {
	if len(f.fields) != 57 {
		return
	}
	b := f.body
	for range frameLE.Uint32(f.fields[49:]) {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return
		}
		b = b[1+b[0]:]
	}
	for range frameLE.Uint32(f.fields[53:]) {
		if len(b) < 24 { // number, end, how far synced
			return
		}
		ends[frameLE.Uint64(b)] = int64(frameLE.Uint64(b[8:]))
		b = b[24:]
	}
}

// segment enters a segment's frames: an entry counts with its commit, or where it was moved from another segment.
func (l *Log) segment(fs []frame) {
	at := map[int64]int{}
	for i, f := range fs {
		at[f.off] = i
		switch f.kind {
		case frameHeads:
			b := f.body
			for len(b) > 33 {
				s, rest := streamAt(b)
				if len(rest) < 1+8+32+8+8+16+8+16 {
					break
				}
				l.ack(s, frameLE.Uint64(rest[1+8+32+8+8+16:]))
				b = rest[1+8+32+8+8+16+8+16:]
			}
		case frameAcks:
			l.acks(f.body)
		case frameState:
			l.state(f, f.flags&stateLost != 0)
		case frameEntry:
			if f.flags&entryMoved != 0 && f.whole {
				l.entry(f)
			}
		case frameCommit:
			first, count := int64(frameLE.Uint64(f.fields[72:])), int(frameLE.Uint64(f.fields[80:]))
			from, ok := at[first]
			if !ok || !f.whole || i-from != count || slices.ContainsFunc(fs[from:i], func(e frame) bool { return e.kind != frameEntry || !e.whole }) {
				continue
			}
			for _, e := range fs[from:i] {
				l.entry(e)
			}
			l.state(f, false)
		}
	}
}

// state takes the epoch and the counter file of a commit or a checkpoint: both begin with them.
func (l *Log) state(f frame, lost bool) {
	if e := frameLE.Uint64(f.fields); e >= l.Epoch {
		if e > l.Epoch || !lost {
			l.FileID = [16]byte(f.fields[8:24])
		}
		l.Epoch = e
	}
}

func streamAt(b []byte) (s Stream, rest []byte) {
	if len(b) < 33 || len(b) < 33+int(b[32]) {
		return s, nil
	}
	copy(s.Writer[:], b)
	copy(s.Tenant[:], b[16:])
	n := int(b[32])
	s.Dimension = string(b[33 : 33+n])
	return s, b[33+n:]
}

func (l *Log) acks(b []byte) {
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		if kind == 2 { // a sink's cursor: its name, stream, seq, digest
			if len(b) == 0 || int(b[0]) >= len(b) {
				return
			}
			if _, b = streamAt(b[1+b[0]:]); len(b) < 40 {
				return
			}
			b = b[40:]
			continue
		}
		s, rest := streamAt(b)
		if kind != 1 || len(rest) < 24 {
			return
		}
		l.ack(s, frameLE.Uint64(rest))
		b = rest[24:]
	}
}

func (l *Log) ack(s Stream, next uint64) { l.Acked[s] = max(l.Acked[s], next) }

// entry enters a slice. One that declares a gap takes the place of those from there on.
func (l *Log) entry(f frame) {
	var s Stream
	copy(s.Writer[:], f.fields)
	copy(s.Tenant[:], f.fields[16:])
	seq := frameLE.Uint64(f.fields[32:])
	const dimension = 16 + 16 + 8 + 8 + 32 + 16 + 16 + 8 + 8 + 8 + 8
	s.Dimension = string(f.fields[dimension+1:])
	if l.Slices[s] == nil {
		l.Slices[s] = map[uint64][]byte{}
	}
	if f.flags&entryGap != 0 {
		from := frameLE.Uint64(f.fields[dimension-8:])
		for old := range l.Slices[s] {
			if old >= from && old < seq {
				delete(l.Slices[s], old)
			}
		}
	}
	l.Slices[s][seq] = f.body
}

// AddMissing enters the log's slices that the book does not hold yet.
func (b *Book) AddMissing(l *Log) error {
	for s, bodies := range l.Slices {
		for _, seq := range slices.Sorted(maps.Keys(bodies)) {
			body := bodies[seq]
			if c := b.chains[s]; c != nil && c.has(seq) {
				continue
			}
			if err := b.Add(body); err != nil {
				return fmt.Errorf("log: stream %v seq %d: %w", s, seq, err)
			}
		}
	}
	return nil
}
