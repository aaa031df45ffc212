package ledger

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Break is the first place at which a stream is not what it must be, or damage that can't be ascribed to a stream.
type Break struct {
	Stream export.Stream // the zero Stream: damage that no stream could be named for
	Seq    uint64        // of the slice, or of the one that is missing
	Chunk  uint64        // 0: not in the log
	Offset uint32        // of the record in its chunk
	What   string        // the rule, with got and want
}

func (b Break) String() string {
	s := "no stream"
	if b.Stream != (export.Stream{}) {
		s = fmt.Sprintf("writer %v tenant %v dimension %s seq %d", b.Stream.Writer, b.Stream.Tenant, b.Stream.Dimension, b.Seq)
	}
	if b.Chunk != 0 {
		s += fmt.Sprintf(": chunk %d offset %d", b.Chunk, b.Offset)
	}
	return s + ": " + b.What
}

// Report is what Verify found.
type Report struct {
	Streams, Slices, Bytes, Gaps uint64  // that were walked
	Breaks                       []Break // the first of each stream, in the order of the file; empty: all is well
}

// Verify walks every chain of the ledger file at path from the stored bytes: it decodes each slice strictly, hashes it
// anew, applies the chain's rules, and compares records, pointers, tips, gaps and totals with what the slices say. A
// change of any one byte of a stored slice is found and named. The error is that of Open, or the context's.
func Verify(ctx context.Context, path string) (*Report, error) {
	return VerifyTelling(ctx, path, func(uint64, uint64) {})
}

// VerifyTelling is Verify that says how far it is, in chunks of the log, often.
func VerifyTelling(ctx context.Context, path string, progress func(done, of uint64)) (*Report, error) {
	l, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	v := verifier{l: l, names: make(map[uint64]export.Stream), chains: make(map[uint64]*tip), broken: make(map[export.Stream]bool), bad: make(map[uint64]bool)}
	err = v.run(ctx, progress)
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return &v.report, nil
}

type verifier struct {
	l      *Ledger
	report Report
	names  map[uint64]export.Stream // of the stream numbers
	chains map[uint64]*tip          // as the slices walked so far make them
	gaps   map[uint64][]canon.Gap
	broken map[export.Stream]bool
	bad    map[uint64]bool // stream numbers that are not followed any more
}

func (v *verifier) run(ctx context.Context, progress func(done, of uint64)) error {
	v.gaps = make(map[uint64][]canon.Gap)
	v.guarded("streams", v.readNames)
	for n := uint64(1); n <= v.l.st.chunks; n++ {
		if ctx.Err() != nil {
			return interrupted(ctx, "verify")
		}
		if err := v.l.view(func(tx *bbolt.Tx) error { return v.chunk(tx, n) }); err != nil {
			v.found(export.Stream{}, 0, place{chunk: n}, "%v", err)
		}
		progress(n, v.l.st.chunks)
	}
	v.guarded("log", func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket(bucketLog).Cursor().Last(); k != nil && (len(k) != 8 || be.Uint64(k) != v.l.st.chunks) {
			return fmt.Errorf("last chunk %x, want %x", k, v.l.st.chunks)
		}
		return nil
	})
	v.guarded("tips", v.compareTips)
	for _, x := range []struct {
		what      string
		got, want uint64
	}{{"streams", v.report.Streams, v.l.st.streams}, {"slices", v.report.Slices, v.l.st.slices}, {"bytes", v.report.Bytes, v.l.st.bytes}} {
		if x.got != x.want && len(v.report.Breaks) == 0 {
			v.found(export.Stream{}, 0, place{}, "%s: got %d, want %d as the file's state says", x.what, x.got, x.want)
		}
	}
	return nil
}

// guarded reports an error, or a panic of bbolt, as damage outside the streams.
func (v *verifier) guarded(what string, f func(*bbolt.Tx) error) {
	if err := v.l.view(f); err != nil {
		v.found(export.Stream{}, 0, place{}, "%s: %v", what, err)
	}
}

// found notes a break, unless the stream has one.
func (v *verifier) found(s export.Stream, seq uint64, at place, what string, args ...any) {
	if s != (export.Stream{}) {
		if v.broken[s] {
			return
		}
		v.broken[s] = true
	}
	v.report.Breaks = append(v.report.Breaks, Break{Stream: s, Seq: seq, Chunk: at.chunk, Offset: at.off, What: fmt.Sprintf(what, args...)})
}

func (v *verifier) readNames(tx *bbolt.Tx) error {
	c := tx.Bucket(bucketStreams).Cursor()
	for k, n := c.First(); k != nil; k, n = c.Next() {
		s, ok := parseStreamKey(k)
		if !ok || len(n) != 8 || be.Uint64(n) == 0 || be.Uint64(n) > v.l.st.streams {
			v.found(export.Stream{}, 0, place{}, "streams: entry %x = %x, with %d streams", k, n, v.l.st.streams)
			continue
		}
		if other, taken := v.names[be.Uint64(n)]; taken {
			v.found(s, 0, place{}, "number %d is also that of stream %v", be.Uint64(n), other)
			continue
		}
		v.names[be.Uint64(n)] = s
		v.report.Streams++
	}
	return nil
}

// chunk walks the records of one chunk. Where a record's header is damaged it looks for the next whole one.
func (v *verifier) chunk(tx *bbolt.Tx, n uint64) error {
	r := reader{log: tx.Bucket(bucketLog)}
	data, err := r.chunk(n)
	if err != nil {
		return err
	}
	for off := 0; off < len(data); {
		at := place{n, uint32(off)}
		h, err := parseHeader(data[off:])
		if err != nil {
			s, seq := claimed(data[off:])
			if _, known := v.numberOf(s); !known {
				s = export.Stream{}
			}
			v.found(s, seq, at, "record: %v", err)
			if off = nextRecord(data, off+1); off < 0 {
				return nil
			}
			continue
		}
		end := off + headerSize + int(h.size)
		v.record(&r, &h, at, data[off+headerSize:end:end])
		off = end
	}
	return nil
}

func (v *verifier) numberOf(s export.Stream) (uint64, bool) {
	for n, name := range v.names { // only asked for after damage
		if name == s {
			return n, true
		}
	}
	return 0, false
}

// claimed is what the slice in a record with a damaged header says that it is.
func claimed(rec []byte) (export.Stream, uint64) {
	if len(rec) < headerSize {
		return export.Stream{}, 0
	}
	rest := rec[headerSize:]
	for _, size := range []uint64{uint64(be.Uint32(rec)), uint64(max(0, nextRecord(rec, headerSize)-headerSize)), uint64(len(rest))} {
		if size <= uint64(len(rest)) {
			if s, err := canon.View(rest[:size]); err == nil {
				return export.StreamOf(s.Head()), s.Head().Seq
			}
		}
	}
	return export.Stream{}, 0
}

// nextRecord returns where the next whole header begins, or -1.
func nextRecord(data []byte, from int) int {
	for off := from; off+headerSize <= len(data); off++ {
		if _, err := parseHeader(data[off:]); err == nil {
			return off
		}
	}
	return -1
}

func (v *verifier) record(r *reader, h *header, at place, body []byte) {
	v.report.Slices++
	v.report.Bytes += uint64(len(body))
	s, known := v.names[h.stream]
	if !known {
		v.found(export.Stream{}, h.seq, at, "record of stream number %d, which has no name", h.stream)
		return
	}
	if v.bad[h.stream] {
		return
	}
	if what := v.follow(r, h, at, body, s); what != "" {
		v.bad[h.stream] = true
		v.found(s, h.seq, at, "%s", what)
	}
}

// follow appends a record to its stream's chain and returns what is wrong with it.
func (v *verifier) follow(r *reader, h *header, at place, body []byte, s export.Stream) string {
	sl, err := canon.View(body)
	if err != nil {
		return err.Error()
	}
	if sl.Digest() != h.digest {
		return fmt.Sprintf("digest: got %v, want %v", sl.Digest(), h.digest)
	}
	head := sl.Head()
	if got := export.StreamOf(head); got != s {
		return fmt.Sprintf("the slice is of stream %v", got)
	}
	t := v.chains[h.stream]
	if t == nil {
		t = &tip{number: h.stream}
		v.chains[h.stream] = t
	}
	if h.index != t.count {
		return fmt.Sprintf("record %d of the stream: want record %d; what is between them is damaged or missing", h.index, t.count)
	}
	if verdict, err := t.judge(&head); err != nil {
		return err.Error()
	} else if verdict != takes {
		return t.refusal(export.ErrGap, s, head.Seq).Error()
	}
	want, err := t.extend(&sl, &head, at, func(p place) (uint64, place, error) {
		rec, _, err := r.at(p)
		return rec.jumpIndex, rec.jump, err
	})
	if err != nil {
		return err.Error()
	}
	if *h != want {
		return fmt.Sprintf("record: got %+v, want %+v", *h, want)
	}
	if head.Gap != nil {
		v.report.Gaps++
		v.gaps[h.stream] = append(v.gaps[h.stream], *head.Gap)
	}
	return ""
}

// compareTips compares the stored tips and gaps with those that the slices make.
func (v *verifier) compareTips(tx *bbolt.Tx) error {
	return eachStream(tx, Filter{}, nil, func(_ []byte, s export.Stream, stored *tip) (bool, error) {
		if v.bad[stored.number] || v.broken[s] {
			return true, nil
		}
		walked := v.chains[stored.number]
		switch {
		case walked == nil:
			v.found(s, stored.seq, stored.at, "no slice of it is there, want %d", stored.count)
		case *walked != *stored:
			v.found(s, walked.seq+1, stored.at, "tip: got %+v, want %+v", *walked, *stored)
		default:
			gaps, err := readGaps(tx, stored)
			if err != nil || !slices.EqualFunc(gaps, v.gaps[stored.number], sameGap) {
				v.found(s, stored.seq, place{}, "gaps: got %v (%v), want %v", gaps, err, v.gaps[stored.number])
			}
		}
		return true, nil
	})
}

func sameGap(a, b canon.Gap) bool {
	if a.From != b.From || a.To != b.To || a.Reason != b.Reason || (a.Units == nil) != (b.Units == nil) {
		return false
	}
	return a.Units == nil || *a.Units == *b.Units
}
