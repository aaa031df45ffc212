package car

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// maxGroup is how many octets of requests share one sync.
const maxGroup = 16 << 20

// request is one PutBatch on its way through the writer, with its own copy of the bytes.
type request struct {
	items  []item
	buf    []byte
	out    []export.Result
	answer chan []export.Result
}

type item struct {
	slice   canon.SealedSlice // views section
	section []byte
	err     error
}

// held is a slice that the archive has.
type held struct {
	seq    uint64
	digest canon.Digest
}

// writer is what only the writer goroutine touches (Open before it starts, Close after it ended).
type writer struct {
	file   vfs.File // nil: the next slice begins a new one
	number uint64   // of the last file
	size   int64    // of its acked part
	month  int      // of its first slice
	buf    []byte   // sections of the group that are to be written at size
	undo   []undo
}

// undo is a stream as it was before the group.
type undo struct {
	s     *stream
	chain canon.Chain
	held  int
}

// drop lets go of the file.
func (w *writer) drop() {
	if w.file != nil {
		w.file.Close() // nothing of it is unsynced and acked
		w.file = nil
	}
}

// run takes requests, as many together as there are, until Close.
func (a *Archive) run() {
	defer close(a.done)
	var group []*request
	for {
		select {
		case r := <-a.reqs:
			group = append(group[:0], r)
			size := len(r.buf)
		more:
			for size < maxGroup {
				select {
				case r := <-a.reqs:
					group = append(group, r)
					size += len(r.buf)
				default:
					break more
				}
			}
		case <-a.quit:
			return
		}
		a.commit(group)
		clear(group)
	}
}

// commit judges a group, makes it durable and answers. All or nothing is acked, duplicates too: they may be of this group.
func (a *Archive) commit(group []*request) {
	w := &a.w
	w.buf, w.undo = w.buf[:0], w.undo[:0]
	err := error(nil)
	for _, r := range group {
		r.out = make([]export.Result, len(r.items))
		for i := range r.items {
			it := &r.items[i]
			if r.out[i].Err = it.err; it.err != nil || err != nil {
				continue
			}
			var s *stream
			u := undo{}
			if s = a.streams[export.StreamOf(it.slice.Head())]; s != nil {
				u = undo{s, s.chain, len(s.held)}
			}
			if s, r.out[i] = a.judge(it.slice); r.out[i].Ack != export.AckOK {
				continue
			}
			if u.s == nil {
				u.s, u.chain = s, canon.Chain{FromStart: true}
			}
			w.undo = append(w.undo, u)
			err = a.place(it)
		}
	}
	if err == nil {
		err = a.flush()
	}
	if err != nil {
		a.fail(group, err)
	} else {
		a.publish()
	}
	for _, r := range group {
		r.answer <- r.out
	}
}

// judge takes s into its chain, or says why not.
func (a *Archive) judge(sl canon.SealedSlice) (*stream, export.Result) {
	h := sl.Head()
	name := export.StreamOf(h)
	s := a.streams[name]
	if s == nil {
		s = &stream{chain: canon.Chain{FromStart: true}}
	}
	if tip, _, ok := s.chain.Tip(); ok && h.Seq <= tip {
		at, found := slices.BinarySearchFunc(s.held, h.Seq, func(x held, seq uint64) int {
			if x.seq < seq {
				return -1
			} else if x.seq > seq {
				return 1
			}
			return 0
		})
		if found && s.held[at].digest == sl.Digest() {
			return s, export.Result{Ack: export.AckDuplicate}
		}
		return s, export.Result{Err: s.refusal(export.ErrConflict, name, h.Seq)}
	}
	if err := s.chain.Append(sl); err != nil {
		var ce *canon.ChainError
		if errors.As(err, &ce) {
			switch ce.Rule {
			case canon.ChainSeq, canon.ChainGap, canon.ChainPrev, canon.ChainBeginning:
				return s, export.Result{Err: s.refusal(export.ErrGap, name, h.Seq)}
			}
		}
		return s, export.Result{Err: fmt.Errorf("%w: %w", canon.ErrSchema, err)}
	}
	s.held = append(s.held, held{h.Seq, sl.Digest()})
	if a.streams[name] == nil {
		name.Dimension = string([]byte(name.Dimension)) // not the request's memory
		a.mu.Lock()
		a.streams[name] = s
		a.mu.Unlock()
	}
	return s, export.Result{Ack: export.AckOK}
}

func (s *stream) refusal(kind error, name export.Stream, seq uint64) error {
	e := &export.RefusedError{Kind: kind, Stream: name, Seq: seq}
	if e.TipSeq, e.TipDigest, e.TipOK = s.chain.Tip(); e.TipOK {
		e.ExpectedSeq = e.TipSeq + 1
	}
	return e
}

// place puts a section behind the others, in a new file where it is time for one.
func (a *Archive) place(it *item) error {
	w := &a.w
	month := monthOf(it.slice.Head().WindowStartS)
	if w.file != nil && (w.size+int64(len(w.buf)+len(it.section)) > a.o.MaxFileBytes || a.o.Monthly && month > w.month) {
		if err := a.flush(); err != nil {
			return err
		}
		w.drop()
	}
	if w.file == nil {
		f, err := vfs.Create(a.o.FS, filepath.Join(a.o.Dir, fileName(w.number+1)), 0o600)
		if err != nil {
			return err
		}
		w.number++
		w.file, w.size, w.month = f, 0, month
		if err := a.o.FS.SyncDir(a.o.Dir); err != nil {
			return err
		}
		w.buf = AppendHeader(w.buf[:0], it.slice.Digest())
	}
	w.buf = append(w.buf, it.section...)
	return nil
}

// flush makes the group's sections durable.
func (a *Archive) flush() error {
	w := &a.w
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.file.WriteAt(w.buf, w.size); err != nil {
		return err
	}
	if err := a.sync(w.file); err != nil {
		return err
	}
	w.size += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// fail takes a group back. The file is cut to what was acked and not used again: what a failed sync did to it is unknown. A group
// that began a file and failed in the next one may leave slices behind; put again they stand twice, which recovery knows.
func (a *Archive) fail(group []*request, err error) {
	w := &a.w
	a.o.Logger.Error("archive: not written", "dir", a.o.Dir, "err", err)
	for i := len(w.undo) - 1; i >= 0; i-- {
		u := w.undo[i]
		u.s.chain, u.s.held = u.chain, u.s.held[:u.held]
	}
	if w.file != nil {
		size := w.size
		_ = w.file.Truncate(size) // as good as it gets: recovery takes what is there for duplicates
		w.drop()
		if name := filepath.Join(a.o.Dir, fileName(w.number)); size == 0 && a.o.FS.Remove(name) == nil {
			w.number--
		}
	}
	for _, r := range group {
		for i := range r.out {
			if r.items[i].err == nil { // refusals too: they may be by what was taken back
				r.out[i] = export.Result{Err: fmt.Errorf("accounting/car: %w", err)}
			}
		}
	}
}

// publish lets Tip see the group.
func (a *Archive) publish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.w.undo {
		u.s.seq, u.s.digest, u.s.ok = u.s.chain.Tip()
	}
}

// monthOf numbers the month, in UTC, that second s lies in; never 0.
func monthOf(s uint64) int {
	t := time.Unix(int64(min(s, 1<<40)), 0).UTC()
	return t.Year()*12 + int(t.Month())
}
