package canon

import (
	"slices"

	"github.com/ron-accounting/ron-accounting/internal/asm"
)

// Encoder writes many slices into one buffer and hashes them together: for a sealer, which has a window's rows of all
// streams at once. In the steady state, when its buffers have grown, it does not allocate. Use:
//
//	e.Reset(nil)
//	for each stream {
//		e.Begin(&head, n)            // error: head breaks a rule; nothing was begun
//		e.AppendKeys(keys, incs, max) // or e.Append(rows), any number of times
//		e.End()                      // error: rows out of order or too many bytes; the slice is taken back
//	}
//	slices := e.Seal()               // digests, links of BeginNext, SealedSlices
//
// It writes what Encode would write and nothing that Decode would refuse. The zero value is ready. Not for
// concurrent use; several Encoders are independent.
type Encoder struct {
	buf   []byte
	begun []SealedSlice // bytes and digest are filled in by Seal
	place []place       // of the slices in buf, parallel to begun

	// Scratch of Seal: which slices are hashed together, their bytes and their digests.
	turn []int32
	msgs [][]byte
	sums []Digest

	wide  int      // bytes that Begin left for the header of the array of rows
	order rowOrder // of the slice begun
}

// place says where in buf a slice is.
type place struct {
	start, end int
	next       bool // prev is the digest of the slice before
}

// Reset drops everything begun. If buf is not nil the encoder writes into buf[:0] from now on (and beyond it into a
// larger one that it allocates: see Buffer), else into the buffer it has. What Seal returned before is invalid
// from here on if it is in the buffer that is written next.
func (e *Encoder) Reset(buf []byte) {
	if buf != nil {
		e.buf = buf
	}
	e.buf, e.begun, e.place = e.buf[:0], e.begun[:0], e.place[:0]
}

// Buffer returns the buffer that holds the slices; after Seal it may be kept with them and a later Reset given another.
func (e *Encoder) Buffer() []byte { return e.buf }

// Begin starts a slice. rows is the number of rows that the caller expects, for room and for the width of their
// count: a wrong one costs a little time and is otherwise harmless. h is copied; its Prev is copied into the bytes.
// An error is a *SchemaError as Encode gives it, and nothing was begun. The slice before must have been ended.
func (e *Encoder) Begin(h *Head, rows int) error { return e.begin(h, rows, false) }

// BeginNext is Begin for the slice that follows the one begun just before it in the same chain: Seal puts that one's
// digest into its prev. h.Prev is ignored. The slice before must be in the encoder: not taken back by End or Cancel.
func (e *Encoder) BeginNext(h *Head, rows int) error { return e.begin(h, rows, true) }

// Len returns the number of rows of the slice begun.
func (e *Encoder) Len() int { return e.order.n }

// Append appends rows, which must ascend strictly by (Namespace, Subject), also against those appended before; End says
// if they did not. Rows with Inc 0 are left out. The caller keeps to MaxBytes: RowsAlwaysFit rows do.
func (e *Encoder) Append(rows []Row) {
	e.buf = slices.Grow(e.buf, len(rows)*MaxRowSize)
	e.buf = e.buf[:e.order.appendRows(e.buf[:cap(e.buf)], len(e.buf), rows)]
}

// AppendKeys is Append for encoded keys: row i is keys[i] with incs[i], and is left out where incs[i] is 0. It stops when
// the slice has max rows, or when MaxBytes has no room for any row, and returns how many of the keys it is done with:
// less than len(keys) only if a row with units is left for the next slice. len(incs) must be at least len(keys).
func (e *Encoder) AppendKeys(keys []RowKey, incs []uint64, max int) (done int) {
	for done < len(keys) {
		n := min(len(keys)-done, max-e.order.n, (MaxBytes-e.Size())/MaxRowSize)
		if n <= 0 { // full: only rows without units can be done with
			if incs[done] != 0 {
				break
			}
			done++
			continue
		}
		k, v := keys[done:done+n], incs[done:done+n]
		e.buf = slices.Grow(e.buf, n*MaxRowSize)
		e.buf = e.buf[:e.order.appendKeys(e.buf[:cap(e.buf)], len(e.buf), k, v)]
		done += n
	}
	return done
}

// Prefetch is a hint that AppendKeys is soon given keys. It pays where they are out of cache.
func (e *Encoder) Prefetch(keys []RowKey) {
	asm.Prefetch(keys, prefetchBytes)
	asm.Prefetch(e.buf[len(e.buf):cap(e.buf)], prefetchBytes)
}

// prefetchBytes is as much as the processor does not foresee by itself.
const prefetchBytes = 4096

// Size returns the number of bytes of the slice begun, give or take two for the count of its rows.
func (e *Encoder) Size() int { return len(e.buf) - e.place[len(e.place)-1].start }

// Cancel takes the slice begun back.
func (e *Encoder) Cancel() {
	last := len(e.begun) - 1
	e.buf = e.buf[:e.place[last].start]
	e.begun, e.place = e.begun[:last], e.place[:last]
}

func (e *Encoder) begin(h *Head, rows int, next bool) error {
	start := len(e.buf)
	e.begun = append(e.begun, SealedSlice{head: *h})
	s := &e.begun[len(e.begun)-1]
	s.head.V = max(h.V, Version)
	if next {
		s.head.Prev = &pending
	}
	if !goodHead(&s.head) {
		err := headError(s.head)
		e.begun = e.begun[:len(e.begun)-1]
		return err
	}
	if h.Gap != nil {
		s.head.Gap = h.Gap.clone()
	}
	e.buf = AppendHead(e.buf, &s.head, rows)
	e.wide = SizeUint(uint64(rows))
	s.rows = int32(len(e.buf) - start)
	s.prev = prevOffset(&s.head)
	e.place = append(e.place, place{start: start, next: next})
	e.order = rowOrder{}
	return nil
}

// pending stands for the prev of a slice until Seal knows it. Nothing writes to it.
var pending Digest

// End finishes the slice begun. On error, a *SchemaError, the slice is taken back.
func (e *Encoder) End() error {
	last := len(e.begun) - 1
	s, p := &e.begun[last], &e.place[last]
	s.n, s.unitsLo, s.unitsHi = int32(e.order.n), e.order.lo, e.order.hi
	e.count(s, p)
	if p.end-p.start > MaxBytes || e.order.wrong != 0 {
		_, err := parse(e.buf[p.start:p.end])
		if err == nil { // it was a row without units that stood in the wrong place
			err = &SchemaError{Offset: int(s.rows), Rule: RuleRowOrder}
		}
		e.Cancel()
		return err
	}
	return nil
}

// count writes the number of rows before them. Where Begin left another width, the head moves, which is short; the rows move
// only where there is no room before the head.
func (e *Encoder) count(s *SealedSlice, p *place) {
	wide := SizeUint(uint64(s.n))
	move := e.wide - wide
	if move < 0 {
		at := p.start + int(s.rows)
		e.buf = slices.Grow(e.buf, -move)
		e.buf = e.buf[:len(e.buf)-move]
		copy(e.buf[at-move:], e.buf[at:])
		s.rows -= int32(move)
	} else if move > 0 {
		head := e.buf[p.start : p.start+int(s.rows)-e.wide]
		p.start += move
		copy(e.buf[p.start:], head)
		s.rows -= int32(move)
	}
	appendArg(e.buf[:p.start+int(s.rows)-wide], majorArray, uint64(s.n))
	p.end = len(e.buf)
}

// Seal hashes all slices that were ended and returns them in their order. They are views of Buffer, and the returned
// slice itself belongs to the encoder: both are valid until Reset.
//
// All slices that don't wait for another's digest are hashed together, so that short ones fill the kernel's lanes; then
// those that follow them in a chain, and so on: a chain of k slices takes k turns, all chains side by side.
func (e *Encoder) Seal() []SealedSlice {
	e.turn = e.turn[:0]
	for i := range e.begun {
		s, p := &e.begun[i], e.place[i]
		s.bytes = e.buf[p.start:p.end:p.end]
		s.point()
		if !p.next {
			e.turn = append(e.turn, int32(i))
		}
	}
	for len(e.turn) > 0 {
		e.msgs = e.msgs[:0]
		for _, i := range e.turn {
			e.msgs = append(e.msgs, e.begun[i].bytes)
		}
		e.sums = slices.Grow(e.sums[:0], len(e.msgs))[:len(e.msgs)]
		SumMany(e.sums, e.msgs)
		follow := e.turn[:0]
		for n, i := range e.turn {
			e.begun[i].digest = e.sums[n]
			if i++; int(i) < len(e.begun) && e.place[i].next {
				*e.begun[i].head.Prev = e.sums[n]
				follow = append(follow, i)
			}
		}
		e.turn = follow
	}
	clear(e.msgs[:cap(e.msgs)])
	return e.begun
}
