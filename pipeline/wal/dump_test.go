package wal

import (
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

func dump(t *testing.T, disk *vfs.Crash) {
	l := &Log{o: testOptions(disk).WithDefaults(), fs: disk}
	r := newReading(l, true)
	if err := r.list(); err != nil {
		t.Log(err)
	}
	for _, p := range r.heads {
		ps, _ := r.scan(p.f, p.num, p.version, p.size, p.size, func(byte, []byte) bool { return true })
		t.Logf("segment %d size %d end %d", p.num, p.size, r.ends[p.num])
		for _, x := range ps {
			switch x.kind {
			case kindEntry:
				t.Logf("  %d-%d entry %v seq %d epoch %d flags %d gap %d ok %v", x.from, x.to, x.m.stream, x.m.seq, x.m.epoch, x.m.flags, x.m.gapFrom, x.bodyOK)
			case kindCommit:
				t.Logf("  %d-%d commit epoch %d first %d n %d whole %v", x.from, x.to, x.c.epoch, x.c.first, x.c.count, x.whole)
			case kindMark:
				t.Logf("  %d-%d mark %d epoch %d", x.from, x.to, x.synced, x.epoch)
			case kindSegment:
				t.Logf("  %d-%d segment ends %v", x.from, x.to, x.seg.ends)
			default:
				t.Logf("  %d-%d kind %d ok %v epoch %d", x.from, x.to, x.kind, x.bodyOK, x.epoch)
			}
		}
	}
}
