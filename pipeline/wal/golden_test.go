package wal

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares b with a file of testdata.
func golden(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s: the format has changed: that is another version", name)
	}
	return want
}

var goldenWriter = canon.ID{0xA1, 0xA2, 0xA3}

// v2 writes one frame of each kind, as the log does.
func v2() []byte {
	key := Stream{Writer: goldenWriter, Tenant: canon.IDFromUint64(1), Dimension: "bytes"}
	b := appendPreamble(nil, formatVersion)
	frame := func(kind, flags byte, fields, body []byte) {
		var d canon.Digest
		if len(body) > 0 {
			d = digestOf(body)
		}
		start := len(b)
		b = beginFrame(b, kind, flags, 1, int64(start), len(body), &d)
		b = append(endFrame(append(b, fields...), start), body...)
	}
	info := segInfo{writer: goldenWriter, boot: [16]byte{1}, createdMS: 1_700_000_000_000, windowS: 300, policy: Interval, dimensions: []string{"bytes"},
		ends: []segEnd{{1 << 40, 700, 600}}}
	frame(kindSegment, 0, appendSegFields(nil, &info), appendSegBody(nil, &info))
	h := stream{key: key, next: 3, digest: canon.Digest{3}, known: true, sealedMS: 5, windowEndS: 300, cum: UnitsOf(6), acked: 2, ackedCum: UnitsOf(3)}
	frame(kindHeads, 0, le.AppendUint64(nil, 1), appendHeadRecord(nil, &h))
	frame(kindCursors, 0, le.AppendUint64(nil, 1), appendCursorRecord(nil, "ledger", key, &cursor{2, canon.Digest{2}}))
	frame(kindState, 0, appendStateFields(nil, &stateInfo{epoch: 3, file: stateN(3), writer: goldenWriter, heads: 1, cursors: 1}), nil)
	first := int64(len(b))
	body := []byte("slice 3")
	m := meta{stream: key, seq: 3, epoch: 4, digest: digestOf(body), prev: canon.Digest{3}, flags: flagPrev | flagGap, gapFrom: 2, units: Units{7, 1},
		cum: Units{13, 1}, sealedMS: 6, windowStartS: 300, windowEndS: 600, body: len(body)}
	b = append(appendEntryHeader(b, &m, 1, first), body...)
	frame(kindCommit, 0, appendCommitFields(nil, &commitInfo{epoch: 4, file: stateN(4), first: first, count: 1, writer: goldenWriter}), appendTableRecord(nil, &m))
	b = appendMark(b, 1, int64(len(b)), int64(len(b)), 4)
	h.acked, h.ackedCum = 3, UnitsOf(6)
	frame(kindAcks, 0, appendProgress(nil, 1, 4), appendAckRecord(nil, &h))
	return b
}

// TestGoldenFormat pins version 2: its bytes, and what they are read as.
func TestGoldenFormat(t *testing.T) {
	b := golden(t, "v2.wal", v2())
	in, err := Inspect(testOptions(rewriteAs(t, b)))
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Damage)+len(in.Holes)+in.Torn > 0 || in.Writer != goldenWriter || in.Epoch != 4 || in.File != stateN(4) || in.Window != 300 || in.Policy != Interval {
		t.Errorf("got %+v", in.Recovered)
	}
	if len(in.Pending) != 1 || in.Pending[0].Seq != 3 || in.Pending[0].Units != (Units{7, 1}) || !in.Pending[0].HasGap || !in.Pending[0].HasPrev || len(in.Cursors) != 1 {
		t.Errorf("got pending %+v, cursors %+v", in.Pending, in.Cursors)
	}
}

// v1 writes a segment of format version 1, by its description in v1.go: two commits of two streams, the first slice acked.
func v1() []byte {
	const magic = "\xFERW\x01"
	var b []byte
	frame := func(kind, flags byte, fields, body []byte) {
		var d canon.Digest
		if len(body) > 0 {
			d = digestOf(body)
		}
		start := len(b)
		b = beginFrame(b, kind, flags, 5, int64(start), len(body), &d)
		copy(b[start:], magic)
		b = append(endFrame(append(b, fields...), start), body...)
	}
	b = appendPreamble(nil, oldVersion)
	info := segInfo{writer: goldenWriter, boot: [16]byte{1}, windowS: 300, dimensions: testIdentity.Dimensions}
	frame(kindSegment, 0, appendSegFields(nil, &info), appendSegBody(nil, &info))
	cum := [2]Units{}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		first := int64(len(b))
		var table []byte
		for i := range 2 {
			e := entryN(i, epoch-1, 60)
			e.Stream.Writer = goldenWriter
			cum[i] = cum[i].Add(e.Units)
			m := meta{stream: e.Stream, seq: e.Seq, epoch: epoch, digest: e.Digest, units: e.Units, cum: cum[i], sealedMS: e.SealedAtMS,
				windowStartS: e.WindowStartS, windowEndS: e.WindowEndS, body: len(e.Body)}
			h := appendEntryHeader(nil, &m, 5, 0)
			frame(kindEntry, 0, h[frameFixed:len(h)-frameCheck], e.Body)
			r := appendTableRecord(nil, &m)
			table = append(table, r[:len(r)-9]...) // without the gap
		}
		frame(kindCommit, 0, appendCommitFields(nil, &commitInfo{epoch: epoch, file: stateN(epoch), first: first, count: 2, writer: goldenWriter}), table)
		frame(kindMark, 0, le.AppendUint64(nil, uint64(len(b))), nil)
	}
	s := streamN(0)
	s.Writer = goldenWriter
	frame(kindAcks, 0, le.AppendUint64(nil, 1), appendAckRecord(nil, &stream{key: s, acked: 1, ackedCum: UnitsOf(1)}))
	return b
}

func inSegment(t *testing.T, name string, b []byte) *vfs.Crash {
	t.Helper()
	disk := vfs.NewCrash(testDir)
	f, err := disk.OpenFile(filepath.Join(testDir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestUpgrade reads a log of the version before, writes it in this one, and removes it.
func TestUpgrade(t *testing.T) {
	b := golden(t, "v1.wal", v1())
	disk := inSegment(t, segName(5), b)
	o := testOptions(disk)
	l, rec := mustOpen(t, o)
	if rec.Upgraded != 1 || rec.Rewritten != 3 || len(rec.Pending) != 3 || len(rec.Damage)+len(rec.Holes)+rec.Torn > 0 {
		t.Fatalf("got upgraded %d, rewritten %d, %d pending, damage %v, holes %v", rec.Upgraded, rec.Rewritten, len(rec.Pending), rec.Damage, rec.Holes)
	}
	if rec.Writer != goldenWriter || rec.NewWriter || rec.Epoch != 2 || rec.File != stateN(2) || !rec.StateKnown {
		t.Errorf("got writer %v (new %v), epoch %d, %+v", rec.Writer, rec.NewWriter, rec.Epoch, rec.File)
	}
	checkBodies(t, l, rec)
	mustAppend(t, l, commitN(l, 3, 50, 0, 1))
	mustClose(t, l)
	if _, err := disk.Stat(filepath.Join(testDir, segName(5))); err == nil {
		t.Error("the old segment is still there")
	}
	_, rec = mustOpen(t, o)
	if rec.Upgraded != 0 || len(rec.Pending) != 5 || rec.Epoch != 3 {
		t.Errorf("again: got upgraded %d, %d pending, epoch %d", rec.Upgraded, len(rec.Pending), rec.Epoch)
	}
}

// TestUpgradeOfDamage: the old format's frames are told apart as well.
func TestUpgradeOfDamage(t *testing.T) {
	b := v1()
	at := bytes.Index(b, []byte("stream 1 seq 0 "))
	b[at] ^= 1
	disk := inSegment(t, segName(5), b)
	_, rec := mustOpen(t, testOptions(disk))
	if len(rec.Pending) != 2 || len(rec.Holes) != 1 || rec.Holes[0].Units != UnitsOf(1) || rec.NewWriter || rec.Upgraded != 1 {
		t.Errorf("got %d pending, holes %v, new writer %v", len(rec.Pending), rec.Holes, rec.NewWriter)
	}
	if _, err := disk.Stat(filepath.Join(testDir, segName(5)+badSuffix)); err != nil {
		t.Error(err)
	}
}

// TestNewerVersionIsRefused: a log of a later format is left as it is, to the byte, with what lies beside it.
func TestNewerVersionIsRefused(t *testing.T) {
	for _, version := range []uint32{3, 1 << 31, 0} {
		b := v2()
		copy(b, appendPreamble(nil, version))
		if version == 3 {
			b = golden(t, "v3.wal", b)
		}
		disk := inSegment(t, segName(9), b)
		for _, name := range []string{segName(1), spareName} { // one that could be read, and one that would be removed
			f, err := disk.OpenFile(filepath.Join(testDir, name), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(v2(), 0); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := Open(testOptions(disk), testIdentity)
		if !errors.Is(err, ErrWALDirUnusable) || !strings.Contains(err.Error(), "format version") {
			t.Errorf("version %d: got %v, want ErrWALDirUnusable that names the version", version, err)
		}
		if got := content(t, disk, segName(9)); !bytes.Equal(got, b) {
			t.Errorf("version %d: the segment was changed", version)
		}
		names, _ := disk.ReadDir(testDir)
		if want := []string{lockName, segName(1), segName(9), spareName}; strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("version %d: files: got %v, want %v", version, names, want)
		}
		if _, err := Inspect(testOptions(disk)); !errors.Is(err, ErrWALDirUnusable) {
			t.Errorf("version %d: Inspect: got %v, want ErrWALDirUnusable", version, err)
		}
	}
}
