package wal

import "github.com/ron-accounting/ron-accounting/canon"

// This file has one pair of functions a kind of frame: append its fields (or its record), and parse them.

// meta is an entry as its frame header tells it.
type meta struct {
	stream                             Stream
	seq, epoch, gapFrom                uint64
	digest, prev                       canon.Digest
	flags                              byte
	units, cum                         Units // cum: of the stream up to and with this entry
	sealedMS, windowStartS, windowEndS uint64
	body                               int
}

func entryFrameSize(dimension string, body int) int64 {
	return frameSize(entryFixed+len(dimension), body)
}

func appendEntryHeader(b []byte, m *meta, seg uint64, off int64) []byte {
	start := len(b)
	b = beginFrame(b, kindEntry, m.flags, seg, off, m.body, &m.digest)
	b = append(b, m.stream.Writer[:]...)
	b = append(b, m.stream.Tenant[:]...)
	b = le.AppendUint64(b, m.seq)
	b = le.AppendUint64(b, m.epoch)
	b = append(b, m.prev[:]...)
	b = appendUnits(b, m.units)
	b = appendUnits(b, m.cum)
	b = le.AppendUint64(b, m.sealedMS)
	b = le.AppendUint64(b, m.windowStartS)
	b = le.AppendUint64(b, m.windowEndS)
	b = le.AppendUint64(b, m.gapFrom)
	b = appendName(b, m.stream.Dimension)
	return endFrame(b, start)
}

func parseEntry(h *header, t *names) (m meta, ok bool) {
	d := decoder{b: h.fields}
	m.stream.Writer, m.stream.Tenant = d.id(), d.id()
	m.seq, m.epoch = d.u64(), d.u64()
	m.prev = d.digest()
	m.units, m.cum = d.units(), d.units()
	m.sealedMS, m.windowStartS, m.windowEndS, m.gapFrom = d.u64(), d.u64(), d.u64(), d.u64()
	m.stream.Dimension = d.nameIn(t)
	m.digest, m.flags, m.body = h.digest, h.flags, h.body
	return m, d.done()
}

// commitInfo is a commit frame's fields.
type commitInfo struct {
	epoch      uint64
	file, next FileState
	first      int64 // offset of the commit's first entry
	count      int
	writer     canon.ID
}

func appendCommitFields(b []byte, c *commitInfo) []byte {
	b = le.AppendUint64(b, c.epoch)
	b = appendFile(b, c.file)
	b = appendFile(b, c.next)
	b = le.AppendUint64(b, uint64(c.first))
	b = le.AppendUint64(b, uint64(c.count))
	return append(b, c.writer[:]...)
}

func parseCommit(h *header) (c commitInfo, ok bool) {
	d := decoder{b: h.fields}
	c.epoch = d.u64()
	c.file, c.next = d.file(), d.file()
	c.first, c.count, c.writer = int64(d.u64()), int(d.u64()), d.id()
	return c, d.done() && c.count >= 0 && c.first >= 0 && c.first <= h.off
}

// tableRecord is what a commit frame's body repeats of an entry, for the case that the entry's own header is lost.
func appendTableRecord(b []byte, m *meta) []byte {
	b = append(b, m.stream.Tenant[:]...)
	b = appendName(b, m.stream.Dimension)
	b = le.AppendUint64(b, m.seq)
	b = append(b, m.digest[:]...)
	b = appendUnits(b, m.units)
	b = le.AppendUint64(b, m.windowEndS)
	b = le.AppendUint64(b, m.sealedMS)
	return le.AppendUint64(append(b, m.flags&flagGap), m.gapFrom)
}

func tableRecordSize(dimension string) int { return 16 + 1 + len(dimension) + 8 + 32 + 16 + 16 + 9 }

func parseTable(body []byte, version uint32, writer canon.ID, t *names, each func(*meta)) bool {
	d := decoder{b: body}
	for len(d.b) > 0 && !d.bad {
		var m meta
		m.stream = Stream{Writer: writer, Tenant: d.id(), Dimension: d.nameIn(t)}
		m.seq, m.digest, m.units, m.windowEndS, m.sealedMS = d.u64(), d.digest(), d.units(), d.u64(), d.u64()
		if version > oldVersion {
			m.flags, m.gapFrom = d.u8()&flagGap, d.u64()
		}
		if d.bad {
			return false
		}
		each(&m)
	}
	return !d.bad
}

// appendProgress appends the fields of a mark (its first is the offset synced up to) or of an acks frame (the number of records); both say the
// last commit's epoch, so that recovery knows what damage before them can't have held.
func appendProgress(b []byte, first, epoch uint64) []byte {
	return le.AppendUint64(le.AppendUint64(b, first), epoch)
}

// parseProgress: version 1 has no epoch there; known is false then.
func parseProgress(h *header, version uint32) (first, epoch uint64, known, ok bool) {
	d := decoder{b: h.fields}
	first = d.u64()
	if version > oldVersion {
		epoch, known = d.u64(), true
	}
	return first, epoch, known, d.done()
}

// stateInfo is the fields of a state frame, which ends a checkpoint.
type stateInfo struct {
	epoch          uint64
	file, next     FileState
	writer         canon.ID
	heads, cursors uint64
	lost           bool
}

func appendStateFields(b []byte, s *stateInfo) []byte {
	b = le.AppendUint64(b, s.epoch)
	b = appendFile(b, s.file)
	b = appendFile(b, s.next)
	b = append(b, s.writer[:]...)
	b = le.AppendUint64(b, s.heads)
	return le.AppendUint64(b, s.cursors)
}

func parseState(h *header) (s stateInfo, ok bool) {
	d := decoder{b: h.fields}
	s.epoch = d.u64()
	s.file, s.next = d.file(), d.file()
	s.writer, s.heads, s.cursors = d.id(), d.u64(), d.u64()
	s.lost = h.flags&flagLost != 0
	return s, d.done()
}

// segInfo is a segment frame: who wrote the segment, and where the older ones end.
type segInfo struct {
	writer     canon.ID
	boot       [16]byte
	createdMS  uint64
	windowS    uint64
	policy     Policy
	dimensions []string
	ends       []segEnd
}

// segEnd says that segment num holds nothing valid from end on, and that its bytes below synced were durable.
type segEnd struct {
	num         uint64
	end, synced int64
}

func appendSegBody(b []byte, s *segInfo) []byte {
	for _, n := range s.dimensions {
		b = appendName(b, n)
	}
	for _, e := range s.ends {
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, e.num), uint64(e.end)), uint64(e.synced))
	}
	return b
}

func appendSegFields(b []byte, s *segInfo) []byte {
	b = append(b, s.writer[:]...)
	b = append(b, s.boot[:]...)
	b = le.AppendUint64(b, s.createdMS)
	b = le.AppendUint64(b, s.windowS)
	b = append(b, byte(s.policy))
	b = le.AppendUint32(b, uint32(len(s.dimensions)))
	return le.AppendUint32(b, uint32(len(s.ends)))
}

func parseSeg(h *header, body []byte) (s segInfo, ok bool) {
	d := decoder{b: h.fields}
	s.writer, s.boot = d.id(), d.id()
	s.createdMS, s.windowS, s.policy = d.u64(), d.u64(), Policy(d.u8())
	dims, ends := d.u32(), d.u32()
	if !d.done() {
		return s, false
	}
	d = decoder{b: body}
	for range min(int(dims), len(body)) {
		s.dimensions = append(s.dimensions, d.name())
	}
	for range min(int(ends), len(body)) {
		s.ends = append(s.ends, segEnd{num: d.u64(), end: int64(d.u64()), synced: int64(d.u64())})
	}
	return s, d.done()
}

func appendHeadRecord(b []byte, s *stream) []byte {
	var flags byte
	if s.known {
		flags |= headKnown
	}
	if s.retired {
		flags |= headRetired
	}
	if s.vague {
		flags |= headVague
	}
	b = appendStream(b, s.key)
	b = append(b, flags)
	b = le.AppendUint64(b, s.next)
	b = append(b, s.digest[:]...)
	b = le.AppendUint64(b, s.sealedMS)
	b = le.AppendUint64(b, s.windowEndS)
	b = appendUnits(b, s.cum)
	b = le.AppendUint64(b, s.acked)
	return appendUnits(b, s.ackedCum)
}

func headRecordSize(dimension string) int {
	return 33 + len(dimension) + 1 + 8 + 32 + 8 + 8 + 16 + 8 + 16
}

func parseHeads(body []byte, t *names, each func(*stream)) bool {
	d := decoder{b: body}
	for len(d.b) > 0 && !d.bad {
		s := stream{key: d.streamIn(t)}
		flags := d.u8()
		s.known, s.retired, s.vague = flags&headKnown != 0, flags&headRetired != 0, flags&headVague != 0
		s.next, s.digest, s.sealedMS, s.windowEndS = d.u64(), d.digest(), d.u64(), d.u64()
		s.cum, s.acked, s.ackedCum = d.units(), d.u64(), d.units()
		if d.bad {
			return false
		}
		each(&s)
	}
	return !d.bad
}

// Records of an acks frame start with their type.
const (
	recordAck    = 1
	recordCursor = 2
)

func appendAckRecord(b []byte, s *stream) []byte {
	b = append(b, recordAck)
	b = appendStream(b, s.key)
	b = le.AppendUint64(b, s.acked)
	return appendUnits(b, s.ackedCum)
}

func appendCursorRecord(b []byte, sink string, key Stream, c *cursor) []byte {
	b = append(b, recordCursor)
	b = appendName(b, sink)
	b = appendStream(b, key)
	b = le.AppendUint64(b, c.next)
	return append(b, c.digest[:]...)
}

func parseAcks(body []byte, t *names, ack func(key Stream, acked uint64, cum Units), cur func(sink string, key Stream, c cursor)) bool {
	d := decoder{b: body}
	for len(d.b) > 0 && !d.bad {
		switch d.u8() {
		case recordAck:
			key, acked, cum := d.streamIn(t), d.u64(), d.units()
			if !d.bad {
				ack(key, acked, cum)
			}
		case recordCursor:
			sink, key, c := d.nameIn(t), d.streamIn(t), cursor{next: d.u64(), digest: d.digest()}
			if !d.bad {
				cur(sink, key, c)
			}
		default:
			return false
		}
	}
	return !d.bad
}
