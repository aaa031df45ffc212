package ingress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// A staged slice that can't be read any more would stop its stream for ever. It is set aside, and with it the slices that were staged behind it, which no
// sink may take without it. Those that can be read become files, so that an operator has them; of the one that can't a file says which it was. The stream
// then stands where the sink says, and its writer is told so at its next slice: it sends again what it still has, or declares a gap.
// Readiness is missing wal_ok until the files are gone at a start or at Tune.

const (
	asideDir  = "aside" // in Options.Dir
	loadTries = 3       // before a slice counts as unreadable
)

func countAside(dir string) (int, error) {
	all, err := os.ReadDir(filepath.Join(dir, asideDir))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return len(all), err
}

// setAside takes the streams out of their lanes whose next slice can't be read. Called by the committer.
func (q *Queue) setAside() {
	q.mu.Lock()
	cut := q.cut
	q.cut = nil
	q.mu.Unlock()
	for _, st := range cut {
		items, err := st.lane.Discard()
		if err != nil {
			q.log.Error("a stream can't be set aside", "stream", st.name, "err", err)
			continue
		}
		var gone []*entry
		kept := 0
		for _, it := range items {
			e := it.User.(*entry)
			gone = append(gone, e)
			if q.keepAside(e) {
				kept++
			}
		}
		q.m.QueueDropped.WithLabelValues("ingress", "unreadable").Add(float64(len(gone) - kept))
		q.m.QueueDropped.WithLabelValues("ingress", "behind_unreadable").Add(float64(kept))
		q.log.Error("slices were set aside: one before them, or the first, can't be read", "stream", st.name, "from", gone[0].item.Seq, "slices", len(gone), "files", filepath.Join(q.o.Dir, asideDir))
		q.store.drop(gone, 0)
		q.mu.Lock()
		for _, e := range gone {
			if !e.slice.IsZero() {
				q.resident -= e.size
			}
			e.free()
			q.drop(e)
			delete(q.seen, place{st, e.item.Seq})
		}
		if st.halted != nil {
			q.halted--
		}
		delete(q.suspect, st)
		if q.router.Forget(st.lane) {
			delete(q.streams, st.name)
		}
		if q.aside == 0 {
			q.m.ReadyMissing.WithLabelValues(string(pipeline.WALOK)).Inc()
		}
		q.aside += len(gone)
		q.publish()
		q.mu.Unlock()
	}
}

// keepAside writes a slice, or a note of it, to a file; it reports whether the slice could be read.
func (q *Queue) keepAside(e *entry) bool {
	b, err := e.slice.Bytes(), error(nil)
	if e.slice.IsZero() {
		b, err = q.store.load(e)
	}
	dir := filepath.Join(q.o.Dir, asideDir)
	name := fmt.Sprintf("%v-%v-%s-%d", e.s.name.Writer, e.s.name.Tenant, e.s.name.Dimension, e.item.Seq)
	readable := err == nil
	if readable {
		name += ".slice"
	} else {
		name += ".lost"
		b = fmt.Appendf(nil, "%v seq %d %v: %v\n", e.s.name, e.item.Seq, e.digest, err)
	}
	if err := writeAside(dir, name, b); err != nil {
		q.log.Error("a slice that was set aside could not be kept", "file", name, "err", err)
	}
	return readable
}

func writeAside(dir, name string, b []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), syncDir(dir))
}

// unreadable judges a failure to read a staged slice: after some tries its lane halts, and the committer sets the stream aside.
func (q *Queue) unreadable(e *entry, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.tries++; e.tries < loadTries {
		return err
	}
	q.suspect[e.s] = true
	return fmt.Errorf("%w: %w", export.ErrGap, err)
}
