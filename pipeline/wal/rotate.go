package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

const checkpointChunk = 256 << 10 // bytes of records a frame

// checkpointSize is an upper bound of a checkpoint's bytes; caller holds mu.
func (l *Log) checkpointSize() int64 {
	n := int64(len(l.streams))
	size := n*int64(headRecordSize("")) + l.nameBytes
	for i := range l.sinks {
		size += n*int64(1+len(l.sinks[i].name)+33+8+32) + l.nameBytes
	}
	frames := size/checkpointChunk + 2 + int64(len(l.sinks))
	size += frames * frameSize(countFields, 0)
	for _, d := range l.id.Dimensions {
		size += int64(1 + len(d))
	}
	return size + preambleSize + frameSize(segFixed, 24*(len(l.segs)+1)) + frameSize(stateFields, 0)
}

// rotate starts a new segment that takes need bytes beside its checkpoint and the live entries of failed segments and of want (by segment and
// offset; nil: none), which it gets before it has its name: whoever finds its checkpoint finds them too.
// With emergency the spare segment may be used where the disk has no room for another.
//
// A rename or a directory sync that fails may have happened: then the new segment, which says where the old one ends, may be
// found by recovery, so nothing may be added to the old one either.
func (l *Log) rotate(need int64, emergency bool, want func(*segment, int64) bool) error {
	l.syncAccepted()
	moves, bytes := l.collect(func(s *segment, off int64) bool { return s.failed || want != nil && want(s, off) })
	l.mu.Lock()
	size := max(l.checkpointSize()+bytes+need+2*markSize, l.o.SegmentBytes)
	dead := l.newlyDead() // why they are dead, the checkpoint says
	l.mu.Unlock()

	num := l.nextNum
	l.nextNum++
	f, tmp, err := l.newFile(num, size, emergency)
	if err != nil {
		return err
	}
	s := &segment{num: num, f: f, size: size, version: formatVersion, deadAt: never}
	done, err := l.fill(s, moves, bytes)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		l.discard(f, tmp)
		return err
	}
	if err = l.fs.Rename(tmp, l.path(segName(num))); err == nil {
		err = l.fs.SyncDir(l.o.Dir)
	}
	if err != nil {
		_ = l.fs.Remove(tmp) // where the rename did not happen; where it did, the segment stays and dropDead tries again
		s.closed = true
		s.deadAt = 0
		l.mu.Lock()
		l.segs = append(l.segs, s)
		l.mu.Unlock()
		if l.cur != nil {
			l.cur.closed = true
		}
		return err
	}
	s.synced = s.end
	prev := l.cur
	l.mu.Lock()
	l.oldest = num
	if len(l.segs) > 0 {
		l.oldest = l.segs[0].num
	}
	l.segs = append(l.segs, s)
	l.writes++
	l.synced = l.writes
	for _, d := range dead {
		d.deadAt = l.writes
	}
	l.mu.Unlock()
	l.cur = s
	if prev != nil {
		prev.closed = true
		if !prev.failed && prev.f.Truncate(prev.end) == nil { // gives back what was preallocated; only tidiness
			l.mu.Lock()
			prev.size = prev.end
			l.mu.Unlock()
		}
	}
	l.relocate(s, done)
	l.mu.Lock()
	for i := range done { // all that was live in an emptied segment is in the new one, be it acked meanwhile
		if d := done[i].n.seg; d.live == 0 {
			d.deadAt = l.writes
		}
	}
	l.mu.Unlock()
	return nil
}

// fill writes a new segment's checkpoint, the entries that move into it, and a mark: by the time that the file has its name, all of it is durable.
func (l *Log) fill(s *segment, moves []move, bytes int64) (done []move, err error) {
	if err := l.checkpoint(s); err != nil {
		return nil, err
	}
	if done, s.end, err = l.copyEntries(s, s.end, moves, bytes); err != nil {
		return nil, err
	}
	mark := appendMark(nil, s.num, s.end, s.end, l.state.epoch)
	_, err = s.f.WriteAt(mark, s.end)
	s.end += int64(len(mark))
	return done, err
}

// newlyDead returns the segments without live entries of which no write says so yet; caller holds mu.
func (l *Log) newlyDead() (dead []*segment) {
	for _, s := range l.segs {
		if s.live == 0 && s.deadAt == never {
			dead = append(dead, s)
		}
	}
	return dead
}

// newFile opens the file that becomes segment num, under its temporary name, preallocated.
func (l *Log) newFile(num uint64, size int64, emergency bool) (f vfs.File, tmp string, err error) {
	tmp = l.path(segName(num) + tmpSuffix)
	f, err = l.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		if err = f.Preallocate(size); err == nil {
			return f, tmp, nil
		}
		l.discard(f, tmp)
	}
	if !emergency || l.spare == nil {
		return nil, "", err
	}
	// The spare's blocks are there. More than it has is tried, and found missing by the write at the latest.
	f, tmp = l.spare, l.path(spareName)
	l.setSpare(nil)
	_ = f.Preallocate(size)
	return f, tmp, nil
}

func (l *Log) setSpare(f vfs.File) {
	l.spare = f
	l.mu.Lock()
	l.stats.Spare = f != nil
	l.mu.Unlock()
}

// discard gives up a temporary file.
func (l *Log) discard(f vfs.File, tmp string) {
	_ = f.Close()
	_ = l.fs.Remove(tmp)
}

// ensureSpare keeps a preallocated segment in reserve: what a full disk leaves for acks, compaction and period boundaries.
func (l *Log) ensureSpare() error {
	if l.spare != nil {
		return nil
	}
	name := l.path(spareName)
	f, err := l.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := f.Preallocate(l.o.SegmentBytes); err != nil {
		l.discard(f, name)
		return err
	}
	l.setSpare(f)
	return nil
}

// checkpoint writes a segment's opening: who, where the others end, every head and cursor, and the last commit.
func (l *Log) checkpoint(s *segment) error {
	l.mu.Lock()
	info := segInfo{writer: l.writer, boot: l.boot, createdMS: l.nowMS(), windowS: l.id.WindowS, policy: l.o.Fsync, dimensions: l.id.Dimensions}
	for _, o := range l.segs {
		info.ends = append(info.ends, segEnd{o.num, o.end, min(o.synced, o.end)})
	}
	state := stateInfo{epoch: l.state.epoch, file: l.state.file, next: l.state.next, writer: l.writer, lost: l.lost}
	l.mu.Unlock()

	cw := chunkWriter{s: s}
	cw.b = appendPreamble(cw.b, formatVersion)
	cw.frame(kindSegment, 0, appendSegBody(nil, &info), func(b []byte) []byte { return appendSegFields(b, &info) })

	// Streams are taken in chunks, so that acks don't wait for a checkpoint of 100,000 of them.
	for i, more := 0, true; more; {
		var body []byte
		n := uint64(0)
		l.mu.Lock()
		for ; i < len(l.streams) && len(body) < checkpointChunk; i++ {
			if st := &l.streams[i]; st.next > 0 && !l.forgotten(st, s.num) {
				body = appendHeadRecord(body, st)
				n++
			}
		}
		more = i < len(l.streams)
		l.mu.Unlock()
		cw.records(kindHeads, body, n)
		state.heads += n
	}
	l.mu.Lock()
	sinks := len(l.sinks)
	l.mu.Unlock()
	for k := range sinks {
		for i, more := 0, true; more; {
			var body []byte
			n := uint64(0)
			l.mu.Lock()
			sk := &l.sinks[k]
			for ; i < len(sk.cursors) && len(body) < checkpointChunk; i++ {
				if st := &l.streams[i]; sk.cursors[i].next > 0 && !(st.retired && st.first == 0) {
					body = appendCursorRecord(body, sk.name, st.key, &sk.cursors[i])
					n++
				}
			}
			more = i < len(sk.cursors)
			l.mu.Unlock()
			cw.records(kindCursors, body, n)
			state.cursors += n
		}
	}
	var flags byte
	if state.lost {
		flags = flagLost
	}
	cw.frame(kindState, flags, nil, func(b []byte) []byte { return appendStateFields(b, &state) })
	return cw.flush()
}

// forgotten reports whether segment num's checkpoint leaves a stream out: it is an earlier writer's, all of it is acked, and no segment is left that
// might mention it and not say so. Caller holds mu.
func (l *Log) forgotten(s *stream, num uint64) bool {
	if !s.retired || s.first != 0 || s.acked < s.next {
		return false
	}
	if s.doneIn == 0 {
		s.doneIn = num
	}
	return s.doneIn <= l.oldest
}

// chunkWriter builds a segment's opening and writes it piece by piece. Its first error sticks.
type chunkWriter struct {
	s   *segment
	b   []byte
	err error
}

func (w *chunkWriter) frame(kind, flags byte, body []byte, fields func([]byte) []byte) {
	var digest canon.Digest
	if len(body) > 0 {
		digest = digestOf(body)
	}
	start := len(w.b)
	w.b = beginFrame(w.b, kind, flags, w.s.num, w.s.end+int64(start), len(body), &digest)
	w.b = append(endFrame(fields(w.b), start), body...)
	if len(w.b) >= checkpointChunk {
		_ = w.flush()
	}
}

func (w *chunkWriter) records(kind byte, body []byte, n uint64) {
	if n > 0 {
		w.frame(kind, 0, body, func(b []byte) []byte { return le.AppendUint64(b, n) })
	}
}

func (w *chunkWriter) flush() error {
	if w.err == nil && len(w.b) > 0 {
		_, w.err = w.s.f.WriteAt(w.b, w.s.end)
	}
	w.s.end += int64(len(w.b))
	w.b = w.b[:0]
	return w.err
}

// dropDead removes the segments that hold nothing live, once what says so is durable.
func (l *Log) dropDead() {
	l.mu.Lock()
	var dead []*segment
	for _, s := range l.segs {
		if s != l.cur && s.live == 0 && s.deadAt <= l.synced {
			dead = append(dead, s)
		}
	}
	l.mu.Unlock()
	for _, s := range dead {
		name := l.path(segName(s.num))
		var err error
		if s.damaged {
			err = l.fs.Rename(name, name+badSuffix)
		} else {
			err = l.fs.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.mu.Lock()
			l.stats.Err = fmt.Errorf("accounting/wal: removing segment %d: %w", s.num, err)
			l.mu.Unlock()
			continue
		}
		l.mu.Lock()
		l.segs = remove(l.segs, s)
		s.dropped = true
		idle := s.pins == 0
		l.mu.Unlock()
		if idle {
			_ = s.f.Close()
		}
	}
}

func remove(segs []*segment, s *segment) []*segment {
	for i := range segs {
		if segs[i] == s {
			return append(segs[:i:i], segs[i+1:]...)
		}
	}
	return segs
}
