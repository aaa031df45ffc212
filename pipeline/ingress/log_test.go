package ingress

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// rows are counted by adding their bytes to a sum; kill, where not 0, ends it before that row.
type rowCounter struct {
	sum  map[string]int
	kill int
}

var errKilled = errors.New("killed")

func (c *rowCounter) add(rows []byte, from int, begun func(int)) error {
	for i := from; i < len(rows); i++ {
		if c.kill > 0 && i == c.kill {
			return errKilled
		}
		begun(i + 1)
		c.sum[string(rows[i])]++
	}
	return nil
}

// A kill between an idempotency key and its batch, or within it, leaves a batch that the next Open counts to its end, once.
func TestBatchCutShortIsCountedOnce(t *testing.T) {
	for _, kill := range []int{-1, 1, 3, 5} {
		t.Run(fmt.Sprint(kill), func(t *testing.T) {
			g, dir := newGate(), t.TempDir()
			c := &rowCounter{sum: map[string]int{}}
			image := filepath.Join(t.TempDir(), "image")
			q := open(t, g, Options{Dir: dir, Recount: c.add})
			if _, err := q.Count(t.Context(), canon.Digest{1}, canon.Digest{}, []byte("xy"), c.add); err != nil {
				t.Fatal(err)
			}
			_, err := q.Count(t.Context(), canon.Digest{2}, canon.Digest{}, []byte("abcde"), func(rows []byte, from int, begun func(int)) error {
				c.kill = kill
				err := error(nil)
				if kill > 0 {
					err = c.add(rows, from, begun)
				}
				if cerr := os.CopyFS(image, os.DirFS(dir)); cerr != nil { // what a kill here leaves
					t.Error(cerr)
				}
				c.kill = 0
				return errors.Join(err, errKilled)
			})
			if err != nil {
				t.Fatal(err)
			}
			r := open(t, g, Options{Dir: image, Recount: c.add})
			for _, row := range strings.Split("abcdexy", "") {
				if c.sum[row] != 1 {
					t.Errorf("row %s counted %d times, want once", row, c.sum[row])
				}
			}
			if dup, err := r.Count(t.Context(), canon.Digest{2}, canon.Digest{}, []byte("abcde"), c.add); !dup || err != nil {
				t.Errorf("the retry: got %v, %v, want a duplicate", dup, err)
			}
			again := filepath.Join(t.TempDir(), "again")
			if err := os.CopyFS(again, os.DirFS(image)); err != nil {
				t.Fatal(err)
			}
			open(t, g, Options{Dir: again, Recount: c.add})
			if c.sum["a"] != 1 || c.sum["e"] != 1 {
				t.Errorf("the next start counts again: %v", c.sum)
			}
		})
	}
}

// At a power cut nothing of a batch that may have been counted is counted again.
func TestPowerCutCountsNoBatchTwice(t *testing.T) {
	dir := t.TempDir()
	fs := vfs.NewCrash(dir)
	c := &rowCounter{sum: map[string]int{}}
	var image *vfs.Crash
	q := open(t, newGate(), Options{Dir: dir, fs: fs, Recount: c.add})
	if _, err := q.Count(t.Context(), canon.Digest{2}, canon.Digest{}, []byte("abc"), func(rows []byte, from int, begun func(int)) error {
		image = fs.Clone(0, rand.New(rand.NewPCG(1, 2)))
		return c.add(rows, from, begun)
	}); err != nil {
		t.Fatal(err)
	}
	if err := stop(q); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, progressFile)); err != nil {
		t.Fatal(err)
	}
	r := open(t, newGate(), Options{Dir: dir, fs: image, Recount: c.add})
	if c.sum["a"] != 1 {
		t.Errorf("got %v, want each row once", c.sum)
	}
	if dup, err := r.Count(t.Context(), canon.Digest{2}, canon.Digest{}, []byte("abc"), c.add); !dup || err != nil {
		t.Errorf("the retry: got %v, %v, want a duplicate", dup, err)
	}
}

// Whatever a power cut takes of what was not synced, what was acknowledged is there, in order, once.
func TestPowerCutKeepsWhatWasAccepted(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 8 {
		dir := t.TempDir()
		fs := vfs.NewCrash(dir)
		g := newGate()
		q := open(t, g, Options{Dir: dir, fs: fs, MaxBytes: 4 << 20})
		chains := make([]*exporttest.Chain, 5)
		for i := range chains {
			chains[i] = exporttest.NewChain(exporttest.Stream("power", i), 20)
		}
		accepted := make([][]canon.SealedSlice, len(chains))
		for range 40 + round {
			i := rng.IntN(len(chains))
			g.set(rng.IntN(3) == 0)
			s := chains[i].Next()
			if ack, err := put(q, s); ack != export.AckOK {
				if errors.Is(err, ErrTipUnknown) { // the sink is shut, and the stream is new
					g.set(false)
					want(t, q, s, export.AckOK, nil)
				} else {
					t.Fatal(ack, err)
				}
			}
			accepted[i] = append(accepted[i], s)
		}
		image := fs.Clone(rng.IntN(101), rng)
		g.set(true)
		r := open(t, g, Options{Dir: dir, fs: image, MaxBytes: 4 << 20})
		for i, all := range accepted {
			for _, s := range all {
				want(t, r, s, export.AckDuplicate, nil)
			}
			if len(all) > 0 {
				want(t, r, chains[i].Next(), export.AckOK, nil)
			}
		}
		g.set(false)
		if err := stop(r); err != nil {
			t.Fatal(err)
		}
		_ = stop(q)
		for i, all := range accepted {
			if seq, _, ok, _ := g.Sink.Tip(t.Context(), chains[i].Stream); len(all) > 0 && (!ok || seq != uint64(len(all))) {
				t.Fatalf("round %d: the sink's tip: got %d %v, want %d", round, seq, ok, len(all))
			}
		}
	}
}

// What an earlier version staged in its bbolt file is moved over, also where the move was cut short.
func TestLegacyFileIsMoved(t *testing.T) {
	dir := t.TempDir()
	c := exporttest.NewChain(exporttest.Stream("legacy", 0), 4)
	all := c.Take(3)
	k := keyRecord{canon.Digest{1}, canon.Digest{2}, time.Now()}
	h := all[0].Head()
	a := ackedSlice{c.Stream, h.Seq, all[0].Digest(), h.WindowStartS, h.WindowEndS, h.SealedAtMS}
	rec := a.append(nil)
	rec = slices.Delete(rec, ackedFixed-1, ackedFixed) // it had no length
	writeLegacy(t, dir, map[string][][]byte{"acked": {rec}, "keys": {k.append(nil)}, "slices": {legacySlice(all[1]), legacySlice(all[2])}})
	if err := os.MkdirAll(filepath.Join(dir, stagedDir+".tmp", "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	g := newGate()
	if ack, err := g.Put(t.Context(), all[0]); err != nil || ack != export.AckOK {
		t.Fatal(ack, err)
	}
	q := open(t, g, Options{Dir: dir})
	for _, s := range all {
		want(t, q, s, export.AckDuplicate, nil)
	}
	if dup, err := remember(t, q, k.key, k.batch); !dup || err != nil {
		t.Error("the key is not moved", dup, err)
	}
	want(t, q, c.Next(), export.AckOK, nil)
	if err := stop(q); err != nil {
		t.Fatal(err)
	}
	if seq, _, _, _ := g.Sink.Tip(t.Context(), c.Stream); seq != 3 {
		t.Errorf("the sink's tip: got %d, want 3", seq)
	}
	if _, err := os.Stat(filepath.Join(dir, legacyFile)); err == nil {
		t.Error("the old file is still there")
	}

	bad := t.TempDir()
	writeLegacy(t, bad, map[string][][]byte{"acked": nil, "keys": {make([]byte, 71)}, "slices": nil})
	if _, err := Open(Options{Dir: bad, Sink: export.Sink{Name: "s", Exporter: newGate()}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged file: got %v, want ErrCorrupt", err)
	}
	if err := os.WriteFile(filepath.Join(bad, legacyFile), []byte("not a database, but long enough to look at"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: bad, Sink: export.Sink{Name: "s", Exporter: newGate()}}); err == nil {
		t.Error("a foreign file is taken")
	}
}

func legacySlice(s canon.SealedSlice) []byte {
	d := s.Digest()
	return append(d[:], s.Bytes()...)
}

func writeLegacy(t *testing.T, dir string, buckets map[string][][]byte) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, legacyFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err == nil {
			err = meta.Put([]byte("version"), []byte{1})
		}
		for name, values := range buckets {
			b, berr := tx.CreateBucket([]byte(name))
			err = errors.Join(err, berr)
			for i, v := range values {
				err = errors.Join(err, b.Put(be.AppendUint64(nil, uint64(i+1)), v))
			}
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A staged slice that can't be read is set aside with what was staged behind it, told to operators and to its writer, and holds up nobody.
func TestUnreadableSliceIsSetAside(t *testing.T) {
	g, dir := newGate(), t.TempDir()
	q := open(t, g, Options{Dir: dir, MaxResident: 1})
	c, other := exporttest.NewChain(exporttest.Stream("rot", 0), 30), exporttest.NewChain(exporttest.Stream("rot", 1), 30)
	all := c.Take(4)
	want(t, q, all[0], export.AckOK, nil)
	want(t, q, other.Next(), export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	g.set(true)
	for _, s := range append(all[1:3:3], other.Next()) {
		want(t, q, s, export.AckOK, nil)
	}
	rot(t, dir, all[1].Bytes())
	// An attempt under way may have read the slice before: the gate opens to one that began after that.
	before := g.refusals(c.Stream.Dimension)
	waitUntil(t, func() bool {
		return g.refusals(c.Stream.Dimension) >= before+2 || slices.Contains(q.Missing(), pipeline.WALOK)
	})
	g.set(false)
	waitUntil(t, func() bool { return q.Stats().Slices == 0 && q.Stats().Halted == 0 })
	if m := q.Missing(); !slices.Contains(m, pipeline.WALOK) {
		t.Errorf("missing: got %v, want wal_ok", m)
	}
	if seq, _, _, _ := g.Sink.Tip(t.Context(), other.Stream); seq != 1 {
		t.Errorf("the other stream's tip: got %d, want 1", seq)
	}
	var refused *export.RefusedError
	if _, err := put(q, all[3]); !errors.As(err, &refused) || !errors.Is(err, export.ErrGap) || refused.ExpectedSeq != 1 {
		t.Fatalf("got %v, want a gap that expects seq 1", err)
	}
	for _, s := range all[1:] { // its writer still has them
		want(t, q, s, export.AckOK, nil)
	}
	waitUntil(t, func() bool { return q.Stats().Slices == 0 })
	if seq, _, _, _ := g.Sink.Tip(t.Context(), c.Stream); seq != 3 {
		t.Errorf("the stream's tip: got %d, want 3", seq)
	}
	aside := filepath.Join(dir, asideDir)
	if lost, _ := filepath.Glob(filepath.Join(aside, "*.lost")); len(lost) != 1 {
		t.Errorf("got %v, want a note of one slice", lost)
	}
	if kept, _ := filepath.Glob(filepath.Join(aside, "*.slice")); len(kept) != 1 {
		t.Errorf("got %v, want one slice", kept)
	} else if b, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(b, all[2].Bytes()) {
		t.Errorf("the file that was kept is not the slice: %v", err)
	}
	if err := os.RemoveAll(aside); err != nil {
		t.Fatal(err)
	}
	if err := q.Tune(q.o.Tuning); err != nil || len(q.Missing()) > 0 {
		t.Errorf("after the operator has taken the files: got %v, missing %v", err, q.Missing())
	}
}

// rot flips a bit of a body where it lies in the log.
func rot(t *testing.T, dir string, body []byte) {
	t.Helper()
	segs, err := filepath.Glob(filepath.Join(dir, stagedDir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range segs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, body); at >= 0 {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{body[10] ^ 4}, int64(at+10))
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the slice is not in the log")
}

// Damage that is found at the start costs what it hit and no other stream.
func TestDamageIsNoticed(t *testing.T) {
	g, dir := newGate(), t.TempDir()
	q := open(t, g, Options{Dir: dir})
	c, other := exporttest.NewChain(exporttest.Stream("damage", 0), 30), exporttest.NewChain(exporttest.Stream("damage", 1), 30)
	all := c.Take(4)
	want(t, q, all[0], export.AckOK, nil)
	want(t, q, other.Next(), export.AckOK, nil)
	for q.Stats().Slices > 0 {
		time.Sleep(time.Millisecond)
	}
	g.set(true)
	for _, s := range append(all[1:3:3], other.Next()) {
		want(t, q, s, export.AckOK, nil)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	rot(t, image, all[1].Bytes())
	g.set(false)
	_ = stop(q)
	fresh := newGate()
	_, _ = fresh.Put(t.Context(), all[0])
	_, _ = fresh.Put(t.Context(), exporttest.NewChain(exporttest.Stream("damage", 1), 30).Next())
	r := open(t, fresh, Options{Dir: image})
	waitUntil(t, func() bool { return r.Stats().Slices == 0 && r.Stats().Halted == 0 })
	if m := r.Missing(); !slices.Contains(m, pipeline.WALOK) {
		t.Errorf("missing: got %v, want wal_ok", m)
	}
	if seq, _, _, _ := fresh.Sink.Tip(t.Context(), other.Stream); seq != 1 {
		t.Errorf("the other stream's tip: got %d, want 1", seq)
	}
	for _, s := range all[1:] {
		want(t, r, s, export.AckOK, nil)
	}
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it does not come about within 5 s")
}

// FuzzRecords: what is kept beside slices is read back as it was written, and damage is an error.
func FuzzRecords(f *testing.F) {
	a := ackedSlice{exporttest.Stream("fuzz", 0), 1, canon.Digest{1}, 2, 3, 4}
	k := keyRecord{canon.Digest{1}, canon.Digest{2}, time.Unix(5, 0)}
	f.Add(a.append(nil))
	f.Add(k.append(a.append(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, rest, err := parseAcked(b); err == nil {
			if again := a.append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
				t.Errorf("acked: got %x, want %x", again, b[:len(b)-len(rest)])
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		if k, rest, err := parseKey(b); err == nil {
			if again := k.append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
				t.Errorf("key: got %x, want %x", again, b[:len(b)-len(rest)])
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}
