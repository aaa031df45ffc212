package wal

import (
	"errors"
	"os"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// survive opens a directory of any content. It must not panic or hang, must keep what it can read, and must be able to go on: the second time it
// finds the same, undamaged.
func survive(t *testing.T, disk *vfs.Crash) {
	o := testOptions(disk)
	o.MaxBytes = 64 << 20
	in, err := Inspect(o)
	l, rec, err2 := Open(o, testIdentity)
	if (err != nil) != (err2 != nil) && err != nil { // Open alone looks at the window
		t.Fatalf("Inspect: %v; Open: %v", err, err2)
	}
	if err2 != nil {
		if !errors.Is(err2, ErrWALDirUnusable) {
			t.Fatalf("got %v, want ErrWALDirUnusable", err2)
		}
		return
	}
	if len(in.Pending) != len(rec.Pending) || len(in.Holes) != len(rec.Holes) || len(in.Damage) != len(rec.Damage) {
		t.Fatalf("Inspect: %d pending, %d holes, damage %v; Open: %d, %d, %v", len(in.Pending), len(in.Holes), in.Damage, len(rec.Pending), len(rec.Holes), rec.Damage)
	}
	checkBodies(t, l, rec)
	if rec.Epoch < never {
		e := entryN(7, 0, 30)
		if h, ok := l.Head(Stream{Writer: l.Writer(), Tenant: e.Stream.Tenant, Dimension: e.Stream.Dimension}); ok {
			e.Seq = h.Next
		}
		if err := l.Append(&Commit{Epoch: rec.Epoch + 1, Entries: []Entry{e}}); err != nil {
			if e.Seq < never-1 && !errors.Is(err, ErrPersistenceFull) {
				t.Fatal(err)
			}
			_ = l.release()
			return
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, again, err := Open(o, testIdentity)
	if err != nil {
		t.Fatal(err)
	}
	want := len(rec.Pending)
	if rec.Epoch < never {
		want++
	}
	if len(again.Damage)+again.Torn > 0 || len(again.Pending) != want {
		t.Fatalf("again: got damage %v, torn %d, %d pending, want %d", again.Damage, again.Torn, len(again.Pending), want)
	}
}

// FuzzSegment reads any bytes as a segment.
func FuzzSegment(f *testing.F) {
	disk := vfs.NewCrash("/var")
	o := testOptions(disk)
	o.SegmentBytes = 4 << 10
	l, _, err := Open(o, testIdentity)
	if err != nil {
		f.Fatal(err)
	}
	for e := uint64(1); e <= 3; e++ {
		mustAppend(f, l, commitN(l, e, 40, 0, 1))
	}
	mustClose(f, l)
	b, err := vfs.ReadFile(disk, testDir+"/"+segName(1), 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(append(b[:600:600], b[700:]...))
	f.Add([]byte(preambleMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { survive(t, rewriteAs(t, b)) })
}

// FuzzFrames reads frames of any content, whose checks and digests fit: each 4 bytes of head (kind, flags, length of fields, length of body) are
// followed by those.
func FuzzFrames(f *testing.F) {
	var w stream
	w.key, w.next, w.acked = Stream{Writer: canon.ID{1}, Tenant: canon.ID{2}, Dimension: "bytes"}, 9, 3
	add := func(kind, flags byte, fields, body []byte) []byte {
		return append(append([]byte{kind, flags, byte(len(fields)), byte(len(body))}, fields...), body...)
	}
	info := segInfo{writer: w.key.Writer, windowS: 300, dimensions: []string{"bytes"}, ends: []segEnd{{7, 100, 50}}}
	all := add(kindSegment, 0, appendSegFields(nil, &info), appendSegBody(nil, &info))
	all = append(all, add(kindHeads, 0, le.AppendUint64(nil, 1), appendHeadRecord(nil, &w))...)
	all = append(all, add(kindCursors, 0, le.AppendUint64(nil, 1), appendCursorRecord(nil, "ledger", w.key, &cursor{next: 2}))...)
	all = append(all, add(kindState, 0, appendStateFields(nil, &stateInfo{epoch: 4, writer: w.key.Writer, heads: 1}), nil)...)
	m := meta{stream: w.key, seq: 9, epoch: 5, flags: flagGap, gapFrom: 4}
	head := appendEntryHeader(nil, &m, 1, 0)
	all = append(all, add(kindEntry, flagGap, head[frameFixed:len(head)-frameCheck], []byte("body"))...)
	all = append(all, add(kindCommit, 0, appendCommitFields(nil, &commitInfo{epoch: 5, first: 700, count: 1, writer: w.key.Writer}), appendTableRecord(nil, &m))...)
	all = append(all, add(kindMark, 0, appendProgress(nil, 900, 5), nil)...)
	all = append(all, add(kindAcks, 0, appendProgress(nil, 1, 5), appendAckRecord(nil, &w))...)
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		out := appendPreamble(nil, formatVersion)
		for len(b) >= 4 {
			kind, flags, fields, body := b[0], b[1], int(b[2]), int(b[3])
			if b = b[4:]; len(b) < fields+body {
				break
			}
			start := len(out)
			digest := canon.Sum(b[fields : fields+body])
			out = beginFrame(out, kind, flags, 1, int64(start), body, &digest)
			out = endFrame(append(out, b[:fields]...), start)
			out = append(out, b[fields:fields+body]...)
			b = b[fields+body:]
		}
		survive(t, rewriteAs(t, out))
	})
}

func rewriteAs(t *testing.T, data []byte) *vfs.Crash {
	t.Helper()
	disk := vfs.NewCrash(testDir)
	f, err := disk.OpenFile(testDir+"/"+segName(1), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return disk
}
