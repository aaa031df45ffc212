package wal

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// reading is one recovery: it reads a directory's segments in order into the state of a Log, and changes nothing on the disk.
type reading struct {
	l        *Log
	rec      *Recovered
	readOnly bool

	names  names
	win    window
	pieces []piece
	heads  []peeked
	ends   map[uint64]segEnd // what later segments say of older ones

	found     []found
	complete  bool // the heads of all streams are known: nothing that is lost could have held one that is not
	lastNum   uint64
	outside   []span // damaged ranges outside of any commit, not judged yet
	torn      []span // what was never durable, by segment
	bad       []string
	leftovers []string // *.tmp
}

// peeked is what a segment's first bytes say.
type peeked struct {
	num     uint64
	f       vfs.File
	size    int64
	version uint32 // 0: damaged preamble
}

// span is a range of a segment.
type span struct {
	seg      *segment
	from, to int64
	reported bool // as damage
	any      bool // more may be missing than its bytes
}

// found is an entry that counts; lost says that its bytes can't be read, and its header or its commit's table told of it.
type found struct {
	m    meta
	si   uint32
	seg  *segment
	off  int64
	lost bool
}

func newReading(l *Log, readOnly bool) *reading {
	l.index, l.nodes, l.nextNum = map[Stream]uint32{}, make([]node, 1), 1
	return &reading{l: l, rec: &Recovered{}, readOnly: readOnly, ends: map[uint64]segEnd{}}
}

// run reads the directory. On failure the caller closes l.segs.
func (r *reading) run() error {
	if err := r.list(); err != nil {
		return err
	}
	if len(r.heads) == 0 {
		r.rec.NewDir, r.rec.NewWriter, r.rec.StateKnown = true, true, true
		r.l.writer = newID()
		r.rec.Writer = r.l.writer
		return nil
	}
	for i := range r.heads {
		if err := r.segment(&r.heads[i], i == len(r.heads)-1); err != nil {
			return err
		}
	}
	r.judgeOutside(0, false)
	r.finish()
	return nil
}

// list opens all segments, and reads the first frame of each: which versions there are, and where the older ones end.
func (r *reading) list() error {
	l := r.l
	all, err := l.fs.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	for _, n := range all {
		num, bad, ok := parseName(n)
		switch {
		case strings.HasSuffix(n, tmpSuffix):
			r.leftovers = append(r.leftovers, n)
		case !ok:
			continue // not the log's; left alone
		case bad:
			r.bad = append(r.bad, n)
		}
		if ok {
			l.nextNum = max(l.nextNum, num+1)
		}
		if !ok || bad {
			continue
		}
		if err := r.peek(num); err != nil {
			return fmt.Errorf("segment %d: %w", num, err)
		}
	}
	slices.SortFunc(r.heads, func(a, b peeked) int { return int(int64(a.num) - int64(b.num)) })
	return nil
}

func (r *reading) peek(num uint64) error {
	l := r.l
	flag := os.O_RDWR
	if r.readOnly {
		flag = os.O_RDONLY
	}
	f, err := l.fs.OpenFile(l.path(segName(num)), flag, 0)
	if err != nil {
		return err
	}
	l.segs = append(l.segs, &segment{num: num, f: f, closed: true, deadAt: never})
	p := peeked{num: num, f: f}
	if p.size, err = f.Size(); err != nil {
		return err
	}
	r.win.reset(f, p.size)
	b := r.win.get(0, preambleSize+maxHeader)
	if v, ok := parsePreamble(b); ok {
		if v > formatVersion || v < oldVersion {
			return fmt.Errorf("format version %d; this program reads %d and %d", v, oldVersion, formatVersion)
		}
		p.version = v
	}
	for _, v := range []uint32{formatVersion, oldVersion} {
		if p.version != 0 && p.version != v || len(b) < preambleSize {
			continue
		}
		h, ok := parseHeader(r.win.get(preambleSize, maxHeader), v, num, preambleSize)
		if !ok || h.kind != kindSegment || preambleSize+h.size() > p.size {
			continue
		}
		full := r.win.get(preambleSize, int(h.size()))
		body := full[len(full)-h.body:]
		h.fields = full[frameFixed : frameFixed+len(h.fields)]
		info, ok := parseSeg(&h, body)
		if ok && digestOf(body) == h.digest || ok && h.body == 0 {
			for _, e := range info.ends {
				e.synced = max(e.synced, r.ends[e.num].synced)
				r.ends[e.num] = e
			}
		}
	}
	r.heads = append(r.heads, p)
	return nil
}

// segment reads one segment into the state. Segments come by number.
func (r *reading) segment(p *peeked, last bool) error {
	l := r.l
	i := slices.IndexFunc(l.segs, func(s *segment) bool { return s.num == p.num })
	s := l.segs[i]
	s.size, s.version, s.end = p.size, p.version, min(p.size, preambleSize)
	limit := p.size
	e, declared := r.ends[p.num]
	if declared = declared && e.end >= preambleSize; declared {
		limit, s.synced, s.declared = e.end, min(e.synced, e.end), true
	}
	if p.version == 0 {
		r.damage(s, 0, min(p.size, preambleSize), "preamble")
	}
	var pieces []piece
	var err error
	for _, v := range []uint32{formatVersion, oldVersion} {
		if p.version != 0 && p.version != v || len(pieces) > 0 && hasFrame(pieces) {
			continue
		}
		if pieces, err = r.scan(p.f, p.num, v, p.size, min(limit, p.size), r.records); err != nil {
			return fmt.Errorf("segment %d: %w", p.num, err)
		}
		s.version = v
	}
	if limit > p.size { // the file is shorter than it was
		pieces = append(pieces, piece{from: p.size, to: limit})
		r.pieces = pieces
	}
	if s.version == oldVersion {
		r.rec.Upgraded++
	}
	r.settle(s, pieces, !last)
	r.lastNum = p.num
	return nil
}

func hasFrame(pieces []piece) bool {
	return slices.ContainsFunc(pieces, func(p piece) bool { return p.kind != kindInvalid })
}

// records merges the records of checkpoints and acks: of two the higher wins, so their order does not matter.
func (r *reading) records(kind byte, body []byte) bool {
	l := r.l
	if kind == kindHeads {
		return parseHeads(body, &r.names, func(h *stream) {
			s := &l.streams[l.streamOf(h.key)]
			if h.next > s.next || h.next == s.next && (!s.known || s.guessed) {
				s.guessed = false
				s.next, s.digest, s.known, s.sealedMS, s.windowEndS, s.cum = h.next, h.digest, h.known, h.sealedMS, h.windowEndS, h.cum
			}
			s.vague = s.vague || h.vague
			r.ack(h.key, h.acked, h.ackedCum)
		})
	}
	return parseAcks(body, &r.names, r.ack, func(sink string, key Stream, c cursor) {
		k, err := l.sinkOf(sink)
		if err != nil || len(key.Dimension) == 0 {
			return
		}
		si := l.streamOf(key)
		l.setCursor(k, si, c)
		r.atLeast(&l.streams[si], c.next, c.digest, true)
	})
}

func (r *reading) ack(key Stream, acked uint64, cum Units) {
	s := &r.l.streams[r.l.streamOf(key)]
	if acked > s.acked {
		s.acked, s.ackedCum = acked, cum
	}
	r.atLeast(s, acked, canon.Digest{}, false)
}

// atLeast notes that the seqs below next were used: nobody acks what was not.
func (r *reading) atLeast(s *stream, next uint64, d canon.Digest, known bool) {
	if next > s.next {
		s.next, s.digest, s.known = next, d, known
		if s.guessed = s.acked < next; !s.guessed {
			s.cum = s.ackedCum
		}
	}
}

// state merges what a checkpoint or commit says of the last commit.
func (r *reading) state(epoch uint64, file, next FileState, known bool) {
	l := r.l
	if epoch > l.state.epoch || epoch == l.state.epoch && known && l.lost {
		l.state = commitInfo{epoch: epoch, file: file, next: next}
		l.lost = !known
	}
}

// damage reports a range that was durable and is not as it was. What a later segment calls never synced here, it has taken over itself.
func (r *reading) damage(s *segment, from, to int64, what string) {
	if s.declared && from >= s.synced {
		return
	}
	s.damaged = true
	if n := len(r.rec.Damage); n > 0 && r.rec.Damage[n-1].Segment == s.num && r.rec.Damage[n-1].To == from && r.rec.Damage[n-1].What == what {
		r.rec.Damage[n-1].To = to
		return
	}
	r.rec.Damage = append(r.rec.Damage, Damage{s.num, from, to, what})
}

// tear notes bytes that were never durable. In a segment whose end is declared they have been judged before.
func (r *reading) tear(s *segment, from, to int64) {
	if s.declared {
		return
	}
	r.torn = append(r.torn, span{seg: s, from: from, to: to})
}

// enter takes an entry into the state.
func (r *reading) enter(m *meta, s *segment, off int64, lost bool) {
	l := r.l
	if len(m.stream.Dimension) == 0 || m.seq == never {
		return
	}
	si := l.streamOf(m.stream)
	st := &l.streams[si]
	switch {
	case m.seq >= st.next:
		cum, guessed := m.cum, false
		if lost && cum == (Units{}) { // a commit's table does not say it
			cum, guessed = st.cum.Add(m.units), st.guessed || m.seq > st.next
		}
		st.guessed = guessed
		st.next, st.digest, st.known, st.cum = m.seq+1, m.digest, true, cum
		st.sealedMS, st.windowEndS = m.sealedMS, m.windowEndS
	case m.seq+1 == st.next && (!st.known || st.guessed): // an ack or a cursor that was read before has told the seq, and no more
		st.digest, st.known, st.sealedMS, st.windowEndS = m.digest, true, m.sealedMS, m.windowEndS
		if !lost || m.cum != (Units{}) {
			st.cum, st.guessed = m.cum, false
		}
	}
	if m.seq >= st.acked {
		if len(r.found) == cap(r.found) {
			r.found = slices.Grow(r.found, len(r.found)+64) // twofold: of 200,000 each copy counts
		}
		r.found = append(r.found, found{*m, si, s, off, lost})
	}
}
