package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Open takes the directory, recovers what it holds, and starts a new segment. It is the basic recovery: a segment is read up to its first frame
// that does not fit, so damage before a segment's end takes what lies behind it too; what is missing then is reported as holes.
func Open(o Options, id Identity) (*Log, *Recovered, error) {
	start := time.Now()
	o = o.WithDefaults()
	if err := errors.Join(o.Validate(), id.validate()); err != nil {
		return nil, nil, err
	}
	unusable := func(err error) error { return fmt.Errorf("%w: %s: %w", ErrWALDirUnusable, o.Dir, err) }
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, nil, unusable(err)
	}
	l := &Log{o: o, fs: o.FS, id: id, stop: make(chan struct{}), index: map[Stream]uint32{}, nodes: make([]node, 1), nextNum: 1, boot: o.BootID()}
	lock, err := o.FS.Lock(l.path(lockName), o.LockWait)
	if err != nil {
		return nil, nil, unusable(err)
	}
	l.lock = lock
	r := &reading{l: l, rec: &Recovered{StateKnown: true}, ends: map[uint64]int64{}, entries: map[Stream]map[uint64]found{}}
	if err = r.run(); err == nil {
		err = l.rotate(0, false)
	}
	if err != nil {
		for _, s := range l.segs {
			_ = s.f.Close()
		}
		return nil, nil, errors.Join(unusable(err), lock.Close())
	}
	l.dropDead()
	_ = l.ensureSpare() // its absence shows in Stats
	if o.Fsync == Interval {
		l.done.Add(1)
		go l.syncLoop()
	}
	r.rec.Duration = time.Since(start)
	return l, r.rec, nil
}

// reading is the state of one recovery.
type reading struct {
	l       *Log
	rec     *Recovered
	names   names
	ends    map[uint64]int64 // where a later segment says that an older one ends
	entries map[Stream]map[uint64]found
}

// found is a committed entry and where it is.
type found struct {
	m   meta
	seg *segment
	off int64
}

// placed is a frame and where it is.
type placed struct {
	header
	body []byte
	at   int64
}

func (r *reading) run() error {
	l, rec := r.l, r.rec
	list, err := l.fs.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	var nums []uint64
	for _, n := range list {
		if strings.HasSuffix(n, tmpSuffix) {
			_ = l.fs.Remove(l.path(n)) // the next one of that name truncates it
		}
		if num, bad, ok := parseName(n); ok {
			l.nextNum = max(l.nextNum, num+1)
			if !bad {
				nums = append(nums, num)
			}
		}
	}
	if len(nums) == 0 {
		l.writer = newID()
		rec.Writer, rec.NewDir, rec.NewWriter = l.writer, true, true
		return nil
	}
	slices.Sort(nums)
	frames := make([][]placed, len(nums))
	for i, num := range nums {
		if frames[i], err = r.segment(num); err != nil {
			return err
		}
	}
	if w := l.id.WindowS; w != 0 && rec.Window != 0 && rec.Window != w {
		return fmt.Errorf("window: the directory's is %d s, got %d s", rec.Window, w)
	}
	for i := range nums {
		r.apply(l.segs[i], frames[i])
		if err := l.segs[i].f.Sync(); err != nil { // what is handed out below must be durable
			return err
		}
	}
	r.finish()
	return nil
}

// segment reads a segment's frames, and what its first one says of the directory.
func (r *reading) segment(num uint64) (out []placed, err error) {
	l := r.l
	f, err := l.fs.OpenFile(l.path(segName(num)), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &segment{num: num, f: f, size: size, closed: true, deadAt: never, end: preambleSize}
	l.segs = append(l.segs, s)
	b, err := vfs.ReadFile(l.fs, l.path(segName(num)), 1<<31)
	if err != nil {
		return nil, err
	}
	if v, ok := parsePreamble(b); !ok {
		s.damaged = true
		r.rec.Damage = append(r.rec.Damage, Damage{num, 0, size, "no segment: its first bytes are damaged"})
		return nil, nil
	} else if v != formatVersion {
		return nil, fmt.Errorf("segment %d: format version %d, this program reads %d", num, v, formatVersion)
	}
	for off := int64(preambleSize); off < size; {
		h, _, ok := parseHeader(b[off:], num, off)
		if !ok || off+h.size() > size {
			break
		}
		body := b[off+h.size()-int64(h.body) : off+h.size()]
		if h.body > 0 && digestOf(body) != h.digest {
			break
		}
		out = append(out, placed{h, body, off})
		off += h.size()
		s.end = off
	}
	if len(out) == 0 || out[0].kind != kindSegment {
		s.damaged = true
		return nil, nil
	}
	info, ok := parseSeg(&out[0].header, out[0].body)
	if !ok {
		return nil, fmt.Errorf("%w: segment %d: its header does not parse", ErrWALCorrupt, num)
	}
	for _, e := range info.ends {
		r.ends[e.num] = e.end
	}
	rec := r.rec
	l.writer, rec.Window, rec.Dimensions, rec.Policy, rec.BootID = info.writer, info.windowS, info.dimensions, info.policy, info.boot
	return out, nil
}

// apply takes a segment's frames into the log's state: entries with their commit only.
func (r *reading) apply(s *segment, frames []placed) {
	if end, ok := r.ends[s.num]; ok {
		s.end = min(s.end, end)
	}
	var open []found
	last := int64(preambleSize)
	for _, f := range frames {
		if f.at >= s.end {
			break
		}
		if f.kind == kindEntry {
			m, ok := parseEntry(&f.header, &r.names)
			if !ok {
				break
			}
			if m.flags&flagMoved == 0 {
				open = append(open, found{m, s, f.at})
				continue
			}
			m.flags &^= flagMoved
			r.enter(found{m, s, f.at})
		} else {
			r.note(f, open)
		}
		open, last = nil, f.at+f.size()
	}
	if last < s.end {
		r.rec.Torn++
		r.rec.TornBytes += s.end - last
	}
	s.end = last
}

// note takes a frame other than an entry; open are the entries just before it.
func (r *reading) note(f placed, open []found) {
	l := r.l
	switch f.kind {
	case kindHeads:
		parseHeads(f.body, &r.names, func(h *stream) {
			s := &l.streams[l.streamOf(h.key)]
			if h.next >= s.next {
				s.next, s.digest, s.known, s.sealedMS, s.windowEndS, s.cum = h.next, h.digest, h.known, h.sealedMS, h.windowEndS, h.cum
			}
			r.ack(h.key, h.acked, h.ackedCum)
		})
	case kindCursors, kindAcks:
		parseAcks(f.body, &r.names, r.ack, func(sink string, key Stream, c cursor) {
			if k, err := l.sinkOf(sink); err == nil {
				l.setCursor(k, l.streamOf(key), c)
			}
		})
	case kindState:
		if st, ok := parseState(&f.header); ok && st.epoch >= l.state.epoch {
			if st.epoch > l.state.epoch || !st.lost {
				l.state.file, l.state.next, l.lost = st.file, st.next, st.lost
			}
			l.state.epoch = st.epoch
		}
	case kindCommit:
		if c, ok := parseCommit(&f.header); ok && c.count == len(open) && c.epoch > l.state.epoch {
			for _, e := range open {
				r.enter(e)
			}
			l.state, l.lost = c, false
		}
	}
}

func (r *reading) ack(key Stream, acked uint64, cum Units) {
	s := &r.l.streams[r.l.streamOf(key)]
	if acked >= s.acked {
		s.acked, s.ackedCum = acked, cum
	}
}

// enter takes a committed entry. One that declares a gap takes the place of those from there on.
func (r *reading) enter(e found) {
	key := e.m.stream
	if r.entries[key] == nil {
		r.entries[key] = map[uint64]found{}
	}
	if e.m.flags&flagGap != 0 {
		for seq := range r.entries[key] {
			if seq >= e.m.gapFrom && seq < e.m.seq {
				delete(r.entries[key], seq)
			}
		}
		r.ack(key, e.m.gapFrom, Units{}) // nothing below the entry is wanted any more
	}
	r.entries[key][e.m.seq] = e
	s := &r.l.streams[r.l.streamOf(key)]
	if e.m.seq >= s.next {
		s.next, s.digest, s.known, s.sealedMS, s.windowEndS, s.cum = e.m.seq+1, e.m.digest, true, e.m.sealedMS, e.m.windowEndS, e.m.cum
	}
}

// finish links what is pending, finds what is missing, and fills in the report.
func (r *reading) finish() {
	l, rec := r.l, r.rec
	if rec.Policy != OnSeal && rec.BootID != l.boot {
		rec.OldWriter, rec.NewWriter = l.writer, true // the page cache was lost, and with it commits that may have been exported
		l.writer = newID()
	}
	rec.NewBoot = rec.BootID != l.boot
	for i := range l.streams {
		s := &l.streams[i]
		s.retired = s.key.Writer != l.writer
		want := s.acked
		for seq := s.acked; seq < s.next; seq++ {
			e, ok := r.entries[s.key][seq]
			if !ok {
				continue
			}
			if e.m.flags&flagGap == 0 || e.m.gapFrom > want {
				r.hole(s, want, seq)
			}
			want = seq + 1
			ref := l.link(uint32(i), e.seg, e.off, seq, e.m.digest, e.m.cum, e.m.body, e.m.sealedMS)
			p := Pending{Ref: ref, Stream: s.key, Seq: seq, Digest: e.m.digest, Units: e.m.units, Bytes: e.m.body, Epoch: e.m.epoch,
				SealedAtMS: e.m.sealedMS, WindowStartS: e.m.windowStartS, WindowEndS: e.m.windowEndS}
			if e.m.flags&flagPrev != 0 {
				p.Prev, p.HasPrev = e.m.prev, true
			}
			if e.m.flags&flagGap != 0 {
				p.GapFrom, p.HasGap = e.m.gapFrom, true
			}
			rec.Pending = append(rec.Pending, p)
		}
		r.hole(s, want, s.next)
		if s.next > 0 {
			rec.Heads = append(rec.Heads, l.headOf(s))
		}
	}
	rec.Writer, rec.Epoch, rec.File, rec.Next, rec.StateKnown = l.writer, l.state.epoch, l.state.file, l.state.next, !l.lost
}

// hole reports seqs from..to-1 of a stream as lost.
func (r *reading) hole(s *stream, from, to uint64) {
	if from < to {
		r.rec.Holes = append(r.rec.Holes, Hole{Stream: s.key, From: from, To: to - 1})
	}
}
