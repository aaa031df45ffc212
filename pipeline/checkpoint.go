package pipeline

import (
	"encoding/binary"
	"fmt"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/shardmap"
	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// A checkpoint is a copy of all open counts in the WAL's directory, replaced every CheckpointInterval, so that a power cut costs what was counted
// since, and not all since the last seal. It says of each stream the seq that its next slice gets. Any slice takes all that its stream has open,
// so a stream's counts in a checkpoint are still open exactly while the WAL's head says the same seq; and a counter file that fits its commit has
// them all and more. So recovery takes the file, or else of the checkpoint what fits the heads, never both; and the order in which checkpoints and
// commits reach the disk does not matter. A WAL that may have lost commits (a new writer), or that was adopted, makes a checkpoint void.
//
//	writer 16, version u32, streams u32; a stream: tenant 16, next u64, from u64, rows u32, dimension u8 length and bytes; a row: ns u32, subject 16,
//	inc u64; all little-endian
const checkpointVersion = 1

// checkpoint is the state of it. Under Pipeline.sealMu, but for buf and saved, which are saveOpen's.
type checkpoint struct {
	buf     []byte
	marks   []checkpointMark
	saved   canon.Digest // of the one on the disk, where this run has written it
	heap    bool         // commits without a counter file carry heapCheckpointed
	covered []u128       // by dimension: open units that the checkpoint on the disk holds
	failed  error        // why the last one is not there
}

// checkpointMark is a stream in a checkpoint that is being written.
type checkpointMark struct {
	s     *stream
	next  uint64
	units u128
}

// checkpointLoop writes one every interval.
func (p *Pipeline) checkpointLoop() {
	defer p.done.Done()
	pprof.SetGoroutineLabels(walLabels)
	t := time.NewTimer(p.o.CheckpointInterval)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		wait := p.o.CheckpointInterval
		if p.saveOpen() != nil { // the error is kept for readiness
			wait = min(wait, maintainEvery)
		}
		t.Reset(wait)
	}
}

// saveOpen writes a checkpoint of what is open now. One caller at a time, not under sealMu: sealing does not wait for the disk.
func (p *Pipeline) saveOpen() error {
	p.sealMu.Lock()
	if p.unknown { // what the unsettled commit has staged must stay; the checkpoint before it holds where that is not in the log
		p.sealMu.Unlock()
		return nil
	}
	p.encodeOpen()
	p.sealMu.Unlock()
	digest := canon.Sum(p.ckpt.buf)
	var err error
	if digest != p.ckpt.saved { // while nothing is counted nothing is written
		p.ckpt.saved = canon.Digest{}
		err = p.wal.SaveCounters(p.ckpt.buf)
	}
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	p.ckpt.failed = err
	if err == nil {
		p.ckpt.saved = digest
		for _, m := range p.ckpt.marks {
			if m.s.next == m.next { // else it was sealed meanwhile
				p.cover(m.s, m.units)
			}
		}
	}
	p.judgeWAL()
	return err
}

// cover notes how much of a stream's open units the checkpoint holds. Under sealMu.
func (p *Pipeline) cover(s *stream, units u128) {
	c := &p.ckpt.covered[s.dim]
	*c = c.Sub(s.covered).Add(units)
	s.covered = units
}

// encodeOpen scans the counters and encodes what is open: an attempt to seal that is given up. Under sealMu.
func (p *Pipeline) encodeOpen() {
	c, le := &p.ckpt, binary.LittleEndian
	p.m.Scan()
	defer p.m.Abort()
	streams := p.adoptRows()
	b := append(c.buf[:0], p.writer[:]...)
	b = le.AppendUint32(le.AppendUint32(b, checkpointVersion), 0)
	c.marks = c.marks[:0]
	for _, s := range streams {
		n := p.gather(s)
		if n == 0 {
			continue
		}
		from := s.from
		if from == 0 {
			from = max(p.roll.cur.start, s.windowStart)
		}
		b = append(b, s.tenant[:]...)
		b = le.AppendUint64(le.AppendUint64(b, s.next), from)
		b = le.AppendUint32(b, uint32(n))
		b = append(append(b, byte(len(p.dims[s.dim]))), p.dims[s.dim]...)
		units := u128{}
		for i, inc := range p.s.incs {
			if inc == 0 {
				continue
			}
			k := &s.keys[i]
			subject := k.Subject()
			b = append(le.AppendUint32(b, k.Namespace()), subject[:]...)
			b = le.AppendUint64(b, inc)
			units = units.Add(u64(inc))
		}
		c.marks = append(c.marks, checkpointMark{s, s.next, units})
	}
	le.PutUint32(b[20:], uint32(len(c.marks)))
	c.buf = b
}

// openStream is a stream of a checkpoint.
type openStream struct {
	tenant     canon.ID
	dimension  string
	next, from uint64
	rows       []byte
}

const (
	checkpointRow = 4 + 16 + 8
	// heapCheckpointed takes the place of F in commits without a counter file: a file that lay idle meanwhile fits none of them, for what it has
	// open may have been taken from a checkpoint and sealed.
	heapCheckpointed = ^uint64(0)
)

// parseCheckpoint reads a checkpoint, whose digest has been checked; lengths are checked nevertheless.
func parseCheckpoint(b []byte, each func(*openStream) error) (writer canon.ID, err error) {
	le, at := binary.LittleEndian, 0
	take := func(n int) []byte {
		if n < 0 || n > len(b)-at {
			return nil
		}
		at += n
		return b[at-n : at]
	}
	short := func() error {
		return fmt.Errorf("%w: checkpoint of the counters ends at byte %d", wal.ErrWALCorrupt, at)
	}
	head := take(24)
	if head == nil {
		return writer, short()
	}
	writer = canon.ID(head[:16])
	if v := le.Uint32(head[16:]); v != checkpointVersion {
		return writer, fmt.Errorf("accounting: checkpoint of the counters: version %d; this program reads %d", v, checkpointVersion)
	}
	for range le.Uint32(head[20:]) {
		h := take(16 + 8 + 8 + 4 + 1)
		if h == nil {
			return writer, short()
		}
		s := openStream{tenant: canon.ID(h[:16]), next: le.Uint64(h[16:]), from: le.Uint64(h[24:])}
		name := take(int(h[36]))
		if s.rows = take(int(min(uint64(le.Uint32(h[32:]))*checkpointRow, uint64(len(b))+1))); name == nil || s.rows == nil {
			return writer, short()
		}
		s.dimension = string(name)
		if err := each(&s); err != nil {
			return writer, err
		}
	}
	if at != len(b) {
		return writer, fmt.Errorf("%w: checkpoint of the counters: %d bytes behind its end", wal.ErrWALCorrupt, len(b)-at)
	}
	return writer, nil
}

// restoreOpen returns what the checkpoint has open that is not in any commit, and makes its streams. from is the start of the first window that it
// was counted in. A checkpoint that can't be used is told and left alone; the next one replaces it.
func (p *Pipeline) restoreOpen(rec *wal.Recovered) (rows []table.FileRow, from uint64, err error) {
	body, err := p.wal.Counters()
	if err != nil {
		p.metrics.QueueDropped.WithLabelValues("counters", "checkpoint").Inc()
		p.log.Error("the checkpoint of the counters can't be used: what was open in it is lost, unless the counter file has it", "err", err)
		return nil, 0, nil
	}
	if body == nil {
		return nil, 0, nil
	}
	if rec.NewWriter {
		p.log.Warn("new writer: the checkpoint of the counters is void, for what was open in it may have been exported")
		return nil, 0, nil
	}
	type kept struct {
		s     *stream
		units u128
		from  uint64
	}
	var streams []kept
	stale := 0
	writer, err := parseCheckpoint(body, func(o *openStream) error {
		h, _ := p.wal.Head(wal.Stream{Writer: p.writer, Tenant: o.tenant, Dimension: o.dimension})
		if canon.ID(body[:16]) != p.writer || h.Next != o.next {
			stale++
			return nil
		}
		d, ok := p.dimensionOf(o.dimension)
		if !ok {
			return fmt.Errorf("%w: %s: the checkpoint of the counters has open units of dimension %q, and it is not configured", wal.ErrWALDirUnusable, p.o.WAL.Dir, o.dimension)
		}
		k := streamKey{o.tenant, d}
		id, ok := p.streams.add(k, func(id uint32) *stream { return p.newStream(id, k) })
		if !ok {
			return fmt.Errorf("%w: %s: the checkpoint of the counters has more streams than MaxStreams, %d", wal.ErrWALDirUnusable, p.o.WAL.Dir, p.o.MaxStreams)
		}
		st := kept{s: p.streams.all()[id], from: o.from}
		for r := o.rows; len(r) > 0; r = r[checkpointRow:] {
			key := shardmap.WideKey{Tenant: o.tenant, Subject: canon.ID(r[4:20]), Namespace: binary.LittleEndian.Uint32(r), Dimension: uint8(d)}
			inc := u64(binary.LittleEndian.Uint64(r[20:]))
			rows = append(rows, table.FileRow{Key: key.Packed(), Open: inc})
			st.units = st.units.Add(inc)
		}
		streams = append(streams, st)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	total := u128{}
	for _, k := range streams {
		p.cover(k.s, k.units)
		k.s.from = min(k.from, p.roll.cur.start)
		total = total.Add(k.units)
	}
	if len(streams) > 0 {
		from = slices.MinFunc(streams, func(a, b kept) int { return int(int64(a.from) - int64(b.from)) }).from
	}
	p.log.Info("checkpoint of the counters", "writer", writer.String()[:8], "streams", len(streams), "rows", len(rows), "units", bigInt(total), "sealed_since", stale)
	return rows, from, nil
}

// makeRestored makes a shard map on the heap with what a checkpoint has open.
func (p *Pipeline) makeRestored(rec *wal.Recovered) error {
	rows, from, err := p.restoreOpen(rec)
	if err != nil {
		return err
	}
	cfg := p.mapConfig()
	cfg.Capacity = max(cfg.Capacity, len(rows))
	if p.m, err = shardmap.NewWide(cfg); err != nil {
		return err
	}
	for i := range rows {
		k := shardmap.UnpackWide(&rows[i].Key)
		id, _ := p.streams.get(streamKey{k.Tenant, Dimension(k.Dimension)})
		if st := p.m.Insert(&k, id, rows[i].Open.Lo); st != shardmap.OK {
			return fmt.Errorf("accounting: checkpoint of the counters: row %d of %d: %v", i, len(rows), st)
		}
	}
	p.ckpt.heap = p.o.CheckpointInterval > 0 || len(rows) > 0 || rec.File.Fingerprint == heapCheckpointed && rec.File.ID == [16]byte{}
	p.sealFrom(from)
	return nil
}

// sealFrom makes the first tick seal what is open since an earlier window, under the bounds of the windows that it was counted in.
func (p *Pipeline) sealFrom(from uint64) {
	if from != 0 && from < p.roll.cur.start {
		from -= from % p.seconds
		p.roll.cur = window{from, from + p.seconds}
	}
}
