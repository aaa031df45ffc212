package ledger

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// keepChunks bounds the buffers that are kept between commits, of chunkTarget and a little each.
const keepChunks = 4

// builder is one transaction's work: the tips as they will be, the chunks that are being filled. Only the leader uses
// it. Nothing that it holds is visible to others before publish.
type builder struct {
	l  *Ledger
	tx *bbolt.Tx
	r  reader

	st     state
	base   uint64 // number of chunks[0]
	chunks [][]byte
	spare  [][]byte
	dirty  map[export.Stream]*tip // tips that change
	fresh  []export.Stream        // streams that begin in this transaction
	gaps   []canon.Gap
	gapAt  [][16]byte // their keys

	records []place        // where the new records are
	wants   []canon.Digest // their slices' digests as given
	sums    []canon.Digest // and as computed: see rehash
	bodies  [][]byte
}

func (w *builder) init(l *Ledger) {
	w.l = l
	w.dirty = make(map[export.Stream]*tip)
}

// reset begins with an empty transaction.
func (w *builder) reset(tx *bbolt.Tx) {
	for _, c := range w.chunks {
		if len(w.spare) < keepChunks && cap(c) <= 2*chunkTarget {
			w.spare = append(w.spare, c[:0])
		}
	}
	clear(w.chunks)
	clear(w.dirty)
	clear(w.gaps)
	w.chunks, w.fresh, w.gaps, w.gapAt = w.chunks[:0], w.fresh[:0], w.gaps[:0], w.gapAt[:0]
	w.records, w.wants = w.records[:0], w.wants[:0]
	w.tx = tx
	w.l.mu.RLock()
	w.st = w.l.st
	w.l.mu.RUnlock()
	w.base = w.st.chunks + 1
	w.r = reader{log: tx.Bucket(bucketLog), fresh: w}
}

// takeAll judges all slices of a group and fills the chunks. It checks that what lies in the chunks has the digests
// under which it is to be stored: a caller's buffer that changed since it was sealed must not be acked. Where that is
// so it begins again without the slice; the transaction itself holds nothing before store.
func (w *builder) takeAll(tx *bbolt.Tx, group []*request) error {
	var changed map[canon.Digest]bool
	for {
		w.reset(tx)
		for _, r := range group {
			for i := range r.slices {
				s := &r.slices[i]
				if changed != nil && changed[s.Digest()] {
					r.results[i] = export.Result{Err: fmt.Errorf("%w: the slice's bytes have changed since they had the digest %v", canon.ErrSchema, s.Digest())}
				} else {
					r.results[i] = w.take(s)
				}
			}
		}
		sums := w.rehash()
		bad := len(changed)
		for i := range sums {
			if sums[i] != w.wants[i] {
				if changed == nil {
					changed = make(map[canon.Digest]bool)
				}
				changed[w.wants[i]] = true
			}
		}
		if len(changed) == bad {
			return nil
		}
	}
}

// rehash returns the digests of the slices as they lie in the chunks, in their order.
func (w *builder) rehash() []canon.Digest {
	w.bodies = w.bodies[:0]
	for _, p := range w.records {
		rec := w.chunks[p.chunk-w.base][p.off:]
		w.bodies = append(w.bodies, rec[headerSize:headerSize+int(be.Uint32(rec))])
	}
	w.sums = slices.Grow(w.sums[:0], len(w.bodies))[:len(w.bodies)]
	canon.SumMany(w.sums, w.bodies)
	clear(w.bodies)
	return w.sums
}

// take judges one slice and, where it is the next of its stream, appends it to the chunks. A damaged record fails the
// slice that needs it; only a panic of bbolt ends the transaction.
func (w *builder) take(s *canon.SealedSlice) export.Result {
	if s.IsZero() {
		return export.Result{Err: fmt.Errorf("%w: the zero SealedSlice", canon.ErrSchema)}
	}
	h := s.Head()
	stream := export.StreamOf(h)
	t, known, err := w.tip(stream)
	if err != nil {
		return export.Result{Err: err}
	}
	v, err := t.judge(&h)
	switch {
	case err != nil:
		return export.Result{Err: err}
	case v == gap:
		return export.Result{Err: t.refusal(export.ErrGap, stream, h.Seq)}
	case v == behind:
		held, _, _, ok, err := w.r.seek(t, func(r *header) bool { return r.seq <= h.Seq })
		if err != nil {
			return export.Result{Err: err}
		}
		if ok && held.seq == h.Seq && held.digest == s.Digest() {
			return export.Result{Ack: export.AckDuplicate}
		}
		return export.Result{Err: t.refusal(export.ErrConflict, stream, h.Seq)}
	}
	if !known {
		stream.Dimension = strings.Clone(stream.Dimension)
		t = &tip{number: w.st.streams + 1}
	}
	if err := w.append(t, s, &h); err != nil {
		return export.Result{Err: err}
	}
	if !known {
		w.st.streams++
		w.fresh = append(w.fresh, stream)
	}
	w.dirty[stream] = t
	return export.Result{Ack: export.AckOK}
}

func (w *builder) append(t *tip, s *canon.SealedSlice, h *canon.Head) error {
	c := len(w.chunks) - 1
	at := place{chunk: w.base + uint64(len(w.chunks))}
	grow := c < 0 || len(w.chunks[c]) >= chunkTarget
	if !grow {
		at = place{chunk: w.base + uint64(c), off: uint32(len(w.chunks[c]))}
	}
	rec, err := t.extend(s, h, at, func(p place) (uint64, place, error) {
		r, _, err := w.r.at(p)
		if err == nil && r.stream != t.number {
			err = corrupt(p, "record of stream %d, want stream %d", r.stream, t.number)
		}
		return r.jumpIndex, r.jump, err
	})
	if err != nil {
		return err
	}
	if grow {
		var buf []byte
		if n := len(w.spare); n > 0 {
			buf, w.spare = w.spare[n-1], w.spare[:n-1]
		}
		w.chunks = append(w.chunks, buf)
		w.st.chunks++
		c++
	}
	buf := append(appendHeader(w.chunks[c], &rec), s.Bytes()...)
	w.chunks[c] = buf
	w.wants = append(w.wants, rec.digest)
	w.records = append(w.records, at)
	w.st.slices++
	w.st.bytes += uint64(rec.size)
	if h.Gap != nil {
		var k [16]byte
		be.PutUint64(k[:], t.number)
		be.PutUint64(k[8:], h.Seq)
		w.gaps, w.gapAt = append(w.gaps, *h.Gap), append(w.gapAt, k)
	}
	return nil
}

// tip returns a stream's tip as this transaction leaves it, to be changed in place; known: the stream has a number.
func (w *builder) tip(s export.Stream) (t *tip, known bool, err error) {
	if t, ok := w.dirty[s]; ok {
		return t, true, nil
	}
	v, ok, err := w.l.lookup(w.tx, s)
	if err != nil || !ok {
		return &tip{}, false, err
	}
	return &v, true, nil
}

// store puts the work into the transaction.
func (w *builder) store() error {
	w.r.log.FillPercent = 1 // chunks come in the order of their keys
	for i, c := range w.chunks {
		b, err := w.r.log.CreateBucket(be.AppendUint64(nil, w.base+uint64(i)))
		if err != nil {
			return err
		}
		if err := b.Put(keyRecords, c); err != nil {
			return err
		}
	}
	if err := w.storeStreams(); err != nil {
		return err
	}
	if err := w.storeTips(); err != nil {
		return err
	}
	gaps := w.tx.Bucket(bucketGaps)
	for i := range w.gaps {
		if err := gaps.Put(w.gapAt[i][:], gapValue(&w.gaps[i])); err != nil {
			return err
		}
	}
	return w.tx.Bucket(bucketMeta).Put(keyState, w.st.encode())
}

func (w *builder) storeStreams() error {
	b := w.tx.Bucket(bucketStreams)
	for _, s := range w.fresh {
		if err := b.Put(streamKey(s), be.AppendUint64(nil, w.dirty[s].number)); err != nil {
			return err
		}
	}
	return nil
}

// storeTips rewrites the blocks of tips that have changed, in their order: neighbours share pages.
func (w *builder) storeTips() error {
	changed := make([]*tip, 0, len(w.dirty))
	for _, t := range w.dirty {
		changed = append(changed, t)
	}
	slices.SortFunc(changed, func(a, b *tip) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	b := w.tx.Bucket(bucketTips)
	b.FillPercent = 1
	var block []byte
	for i, t := range changed {
		key, slot := tipBlock(t.number)
		if block == nil {
			block = make([]byte, tipsPerBlock*tipSize)
			old := b.Get(key[:])
			if old != nil && len(old) != len(block) {
				return &CorruptError{What: fmt.Sprintf("tips %x: %d bytes, want %d", key, len(old), len(block))}
			}
			copy(block, old)
		}
		putTip(block[slot*tipSize:], t)
		if i+1 < len(changed) {
			if next, _ := tipBlock(changed[i+1].number); next == key {
				continue
			}
		}
		if err := b.Put(key[:], block); err != nil {
			return err
		}
		block = nil
	}
	return nil
}

// publish makes the committed tips visible.
func (w *builder) publish() {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st = w.st
	for s, t := range w.dirty {
		l.remember(s, *t)
	}
}

// unanswer turns the results that rest on a failed transaction into its error: acks, and refusals by tips that never were.
// A slice of a stream that did not change was judged by what is on the disk, and keeps its answer.
func (w *builder) unanswer(group []*request, err error) {
	for _, r := range group {
		for i := range r.results {
			res := &r.results[i]
			judged := res.Ack != 0 || res.Err != nil
			if _, changed := w.dirty[export.StreamOf(r.slices[i].Head())]; !judged || changed {
				*res = export.Result{Err: err}
			}
		}
	}
}
