package wal

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// What the tests have in common: a log in memory, and commits whose bytes follow from their numbers.

const testDir = "/var/wal"

var testIdentity = Identity{WindowS: 300, Dimensions: []string{"bytes", "requests"}}

// testOptions returns options for small segments on fsys.
func testOptions(fsys vfs.FS) Options {
	return Options{Dir: testDir, FS: fsys, MaxBytes: 1 << 20, SegmentBytes: 8 << 10, BootID: func() [16]byte { return [16]byte{1} },
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) }}
}

func mustOpen(t testing.TB, o Options) (*Log, *Recovered) {
	t.Helper()
	l, rec, err := Open(o, testIdentity)
	if err != nil {
		t.Fatal(err)
	}
	return l, rec
}

func streamN(i int) Stream {
	return Stream{Tenant: canon.IDFromUint64(uint64(i + 1)), Dimension: testIdentity.Dimensions[i%2]}
}

// entryN makes the entry of stream i with seq: its units are seq+1, its body tells both.
func entryN(i int, seq uint64, size int) Entry {
	body := fmt.Appendf(nil, "stream %d seq %d ", i, seq)
	for len(body) < size {
		body = append(body, byte('a'+len(body)%26))
	}
	return Entry{Stream: streamN(i), Seq: seq, Units: UnitsOf(seq + 1), Digest: canon.Sum(body), Body: body,
		SealedAtMS: 1_700_000_000_000 + seq, WindowStartS: 300 * seq, WindowEndS: 300 * (seq + 1)}
}

func stateN(epoch uint64) FileState {
	return FileState{ID: [16]byte{9}, Rows: epoch, Fingerprint: epoch * 1000}
}

// commitN makes the commit of an epoch that seals the streams, each at its next seq.
func commitN(l *Log, epoch uint64, size int, streams ...int) *Commit {
	c := &Commit{Epoch: epoch, File: stateN(epoch)}
	for _, i := range streams {
		seq := uint64(0)
		name := streamN(i)
		name.Writer = l.Writer()
		if h, ok := l.Head(name); ok {
			seq = h.Next
		}
		c.Entries = append(c.Entries, entryN(i, seq, size))
	}
	return c
}

func mustAppend(t testing.TB, l *Log, c *Commit) {
	t.Helper()
	if err := l.Append(c); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkBodies reads everything pending back.
func checkBodies(t testing.TB, l *Log, rec *Recovered) {
	t.Helper()
	for i := range rec.Pending {
		p := &rec.Pending[i]
		b, err := l.Read(p.Ref, nil)
		if err != nil {
			t.Fatalf("read back %v seq %d: %v", p.Stream, p.Seq, err)
		}
		if canon.Sum(b) != p.Digest || len(b) != p.Bytes {
			t.Fatalf("%v seq %d: got %d bytes with digest %v, want %d, %v", p.Stream, p.Seq, len(b), canon.Sum(b), p.Bytes, p.Digest)
		}
	}
}

func TestReopen(t *testing.T) {
	fsys := vfs.NewCrash("/var")
	l, rec := mustOpen(t, testOptions(fsys))
	if !rec.NewDir || !rec.NewWriter || !rec.StateKnown {
		t.Fatalf("new directory: got %+v", rec)
	}
	for e := uint64(1); e <= 40; e++ {
		mustAppend(t, l, commitN(l, e, 200, int(e)%3, 3+int(e)%2))
	}
	s := streamN(0)
	s.Writer = l.Writer()
	l.Ack(s, 4)
	if err := l.SetCursor("ledger", s, 4, canon.Digest{7}); err != nil {
		t.Fatal(err)
	}
	want, _ := l.Head(s)
	mustClose(t, l)

	l, rec = mustOpen(t, testOptions(fsys))
	if rec.NewDir || rec.NewWriter || rec.Writer != s.Writer || rec.Epoch != 40 || rec.File != stateN(40) || !rec.StateKnown {
		t.Errorf("got writer %v new %v, epoch %d, state %+v known %v", rec.Writer, rec.NewWriter, rec.Epoch, rec.File, rec.StateKnown)
	}
	if len(rec.Damage)+len(rec.Holes)+rec.Torn+rec.Rewritten != 0 {
		t.Errorf("a clean log: got damage %v, holes %v, torn %d, rewritten %d", rec.Damage, rec.Holes, rec.Torn, rec.Rewritten)
	}
	if len(rec.Pending) != 80-5 || len(rec.Heads) != 5 {
		t.Errorf("got %d pending, %d heads, want 75, 5", len(rec.Pending), len(rec.Heads))
	}
	got, _ := l.Head(s)
	got.PendingFirst, want.PendingFirst = Ref{}, Ref{}
	if got != want {
		t.Errorf("head: got %+v, want %+v", got, want)
	}
	if seq, d, ok := l.Cursor("ledger", s); !ok || seq != 4 || d != (canon.Digest{7}) {
		t.Errorf("cursor: got %d %v %v, want 4", seq, d, ok)
	}
	checkBodies(t, l, rec)
	mustAppend(t, l, commitN(l, 41, 200, 0))
	mustClose(t, l)
}

// A sink that is at the head while another has acked nothing: its cursors tell seqs ahead of the entries, and the head is still exact.
func TestReopenCursorAtHead(t *testing.T) {
	fsys := vfs.NewCrash("/var")
	l, rec := mustOpen(t, testOptions(fsys))
	s := streamN(0)
	s.Writer = rec.Writer
	for e := uint64(1); e <= 40; e++ {
		c := commitN(l, e, 900, 0)
		mustAppend(t, l, c)
		if err := l.SetCursor("ahead", s, e-1, c.Entries[0].Digest); err != nil {
			t.Fatal(err)
		}
		if e%3 == 0 { // closed between commits too: the cursors are written then
			want, _ := l.Head(s)
			mustClose(t, l)
			l, rec = mustOpen(t, testOptions(fsys))
			got, _ := l.Head(s)
			got.PendingFirst, want.PendingFirst = Ref{}, Ref{}
			if got != want || got.Units != UnitsOf(e*(e+1)/2) || len(rec.Pending) != int(e) {
				t.Fatalf("epoch %d: got head %+v and %d pending, want %+v and %d", e, got, len(rec.Pending), want, e)
			}
		}
	}
	mustClose(t, l)
}

// TestStreamsWithoutAWriter: a stream that names no writer is the log's own to every method: an ack that was not heard would fill the log.
func TestStreamsWithoutAWriter(t *testing.T) {
	l, _ := mustOpen(t, Options{Dir: filepath.Join(t.TempDir(), "wal")})
	defer mustClose(t, l)
	c := commitN(l, 1, 100, 0)
	c.Entries[0].Stream.Writer = canon.ID{}
	s := c.Entries[0].Stream
	mustAppend(t, l, c)
	if h, ok := l.Head(s); !ok || h.Next != 1 || h.Stream.Writer != l.Writer() {
		t.Errorf("Head: got %+v, %v", h, ok)
	}
	if err := l.SetCursor("sink", s, 0, c.Entries[0].Digest); err != nil {
		t.Fatal(err)
	}
	if seq, d, ok := l.Cursor("sink", s); !ok || seq != 0 || d != c.Entries[0].Digest {
		t.Errorf("Cursor: got %d, %v, %v", seq, d, ok)
	}
	l.Ack(s, 0)
	if n := l.Stats().Entries; n != 0 {
		t.Errorf("%d entries after the ack", n)
	}
}
