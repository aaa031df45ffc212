package wal

import (
	"bytes"
	"errors"
	"io"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// This file reads one segment into pieces: frames, and what lies between them and is none. It judges nothing; recover.go does.

// piece is a frame or a range of bytes that is none.
type piece struct {
	kind     byte // kindInvalid: no frame
	from, to int64
	bodyOK   bool

	m      meta   // entry
	synced int64  // mark
	epoch  uint64 // state, mark, acks: the last commit's as of then
	known  bool   // epoch is
	*rare         // segment, state, commit
}

// rare is what few pieces have: most are entries, up to 100,000 in a segment.
type rare struct {
	c     commitInfo // commit
	table []meta     // commit: what it says of its entries, kept only where they are not all whole
	whole bool       // commit: its body and all its entries are intact
	seg   segInfo    // segment
	st    stateInfo  // state
}

// pageSize is the unit in which unreadable parts of a file are told from readable ones.
const pageSize = 4096

// window reads a file front to back. A page that the disk can't read twice reads as zeros.
type window struct {
	f        vfs.File
	size     int64
	buf      []byte
	at       int64 // of buf in the file
	badTo    int64 // end of the last unreadable page
	badErr   error
	readable bool // some page could be read
}

func (w *window) reset(f vfs.File, size int64) {
	*w = window{f: f, size: size, buf: w.buf[:0]}
}

// get returns the n bytes at off, fewer at the file's end. They are valid until the next call.
func (w *window) get(off int64, n int) []byte {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil
	}
	if off >= w.at && off+int64(n) <= w.at+int64(len(w.buf)) {
		return w.buf[off-w.at:][:n]
	}
	const ahead = 1 << 20
	want := int(min(int64(max(n, ahead)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.at = w.buf[:want], off
	w.fill()
	return w.buf[:min(n, len(w.buf))]
}

// fill reads w.buf; what fails is tried once more, page by page.
func (w *window) fill() {
	n, err := w.f.ReadAt(w.buf, w.at)
	if n == len(w.buf) {
		w.readable = true
		return
	}
	if errors.Is(err, io.EOF) { // shorter than it was: its owner is at work
		w.readable = true
		w.buf, w.size = w.buf[:n], w.at+int64(n)
		return
	}
	for from := 0; from < len(w.buf); {
		to := min(len(w.buf), from+pageSize-int((w.at+int64(from))%pageSize))
		page := w.buf[from:to]
		if n, err := w.f.ReadAt(page, w.at+int64(from)); n < len(page) {
			clear(page)
			w.badTo, w.badErr = w.at+int64(to), err
		} else {
			w.readable = true
		}
		from = to
	}
}

// scan reads the frames of segment num up to limit, which is the file's size or the end that a later segment declares. Trailing zeros are no
// piece. It fails only where nothing of the file can be read. records gets the bodies of intact heads, cursors and acks.
func (r *reading) scan(f vfs.File, num uint64, version uint32, size, limit int64, records func(kind byte, body []byte) bool) ([]piece, error) {
	w := &r.win
	w.reset(f, size)
	out := r.pieces[:0]
	for off := int64(preambleSize); off < min(limit, w.size); {
		h, ok := parseHeader(w.get(off, maxHeader), version, num, off)
		if !ok || off+h.size() > min(limit, w.size) {
			next, data := r.search(version, num, off, limit)
			if next == w.size { // no frame behind: what is not zeros is what is left of one
				next = max(data, min(w.badTo, w.size))
			}
			if next <= off {
				break
			}
			out = append(out, piece{from: off, to: next})
			off = next
			continue
		}
		full := w.get(off, int(h.size()))
		if int64(len(full)) < h.size() {
			break // the file shrank under a reader
		}
		h.fields = full[frameFixed : frameFixed+len(h.fields)]
		p := piece{from: off, to: off + h.size()}
		r.parse(&p, &h, full[len(full)-h.body:], version, out, records)
		out = append(out, p)
		off = p.to
	}
	r.pieces = out
	if size > 0 && w.badErr != nil && !w.readable {
		return nil, w.badErr
	}
	return out, nil
}

// search returns where the next frame's header after off begins, or the end, and behind which byte only zeros lie before that.
func (r *reading) search(version uint32, num uint64, off, limit int64) (next, data int64) {
	w := &r.win
	magic := le.AppendUint32(nil, frameMagic|version<<24)
	const chunk = 64 << 10
	for at := off; at < min(limit, w.size); at += chunk {
		b := w.get(at, chunk+maxHeader)
		part := b[:min(len(b), chunk+len(magic)-1)]
		n := lastData(part)
		if n > 0 {
			data = at + int64(n)
		}
		for i := 0; n > 0; i++ {
			k := bytes.Index(part[i:], magic)
			if k < 0 {
				break
			}
			i += k
			p := at + int64(i)
			if h, ok := parseHeader(b[i:], version, num, p); ok && p > off && p+h.size() <= min(limit, w.size) {
				return p, data
			}
		}
	}
	return min(limit, w.size), data
}

var zeroPage [pageSize]byte

// lastData returns how long b is without the zeros at its end.
func lastData(b []byte) int {
	for len(b) > 0 {
		n := min(len(b), pageSize)
		if !bytes.Equal(b[len(b)-n:], zeroPage[:n]) {
			break
		}
		b = b[:len(b)-n]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b)
}

// parse fills in p from a frame whose header is intact. Fields that make no sense in spite of their check make it no frame.
func (r *reading) parse(p *piece, h *header, body []byte, version uint32, before []piece, records func(byte, []byte) bool) {
	p.kind = h.kind
	p.bodyOK = h.body == 0 || digestOf(body) == h.digest
	if h.kind == kindCommit || h.kind == kindSegment || h.kind == kindState {
		p.rare = new(rare)
	}
	ok := version > oldVersion || allowedV1(h.kind)
	switch {
	case !ok:
	case h.kind == kindEntry:
		p.m, ok = parseEntry(h, &r.names)
	case h.kind == kindCommit:
		p.c, ok = parseCommit(h)
		if ok {
			r.parseTable(p, body, version, before)
		}
	case h.kind == kindSegment && p.bodyOK:
		p.seg, ok = parseSeg(h, body)
	case h.kind == kindState:
		p.st, ok = parseState(h)
		p.epoch, p.known = p.st.epoch, true
	case h.kind == kindMark:
		var synced uint64
		synced, p.epoch, p.known, ok = parseProgress(h, version)
		p.synced = int64(min(synced, uint64(h.off)))
	case h.kind == kindAcks:
		_, p.epoch, p.known, ok = parseProgress(h, version)
		if p.bodyOK {
			p.bodyOK = records(h.kind, body)
		}
	case (h.kind == kindHeads || h.kind == kindCursors) && p.bodyOK:
		p.bodyOK = records(h.kind, body)
	}
	if !ok {
		*p = piece{from: p.from, to: p.to}
	}
}

// parseTable finds out whether a commit is whole; where it is not, what its table says of its entries is kept.
func (r *reading) parseTable(p *piece, body []byte, version uint32, before []piece) {
	i := len(before)
	for i > 0 && before[i-1].from >= p.c.first {
		i--
	}
	intact := 0
	for _, e := range before[i:] {
		if e.kind == kindEntry && e.bodyOK && e.m.flags&flagMoved == 0 {
			intact++
		}
	}
	p.whole = p.bodyOK && intact == p.c.count && intact == len(before[i:])
	if p.whole || !p.bodyOK {
		return
	}
	p.bodyOK = parseTable(body, version, p.c.writer, &r.names, func(m *meta) {
		m.epoch = p.c.epoch
		p.table = append(p.table, *m)
	})
}
