package wal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// small makes a log of one segment with three commits of one slice each, as a killed process leaves it, and returns its bytes and pieces.
func small(t *testing.T) (disk *vfs.Crash, data []byte, pieces []piece) {
	t.Helper()
	disk = vfs.NewCrash("/var")
	o := testOptions(disk)
	o.SegmentBytes = 4 << 10
	l, _ := mustOpen(t, o)
	for e := uint64(1); e <= 3; e++ {
		mustAppend(t, l, commitN(l, e, 40, int(e-1)))
	}
	mustClose(t, l)
	r := newReading(&Log{o: o.WithDefaults(), fs: disk}, true)
	if err := r.list(); err != nil {
		t.Fatal(err)
	}
	p := r.heads[0]
	pieces, err := r.scan(p.f, p.num, p.version, p.size, p.size, func(byte, []byte) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return disk, content(t, disk, segName(1)), pieces
}

func content(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, testDir+"/"+name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// outcome is what a recovery is expected to tell.
type outcome struct {
	pending, holes int
	damaged, torn  bool
	newWriter      bool
	stateKnown     bool
	epoch          uint64
}

func (o outcome) String() string {
	return fmt.Sprintf("%d pending, %d holes, damaged %v, torn %v, new writer %v, state known %v, epoch %d", o.pending, o.holes, o.damaged, o.torn,
		o.newWriter, o.stateKnown, o.epoch)
}

// recoverFrom opens a log twice. The second time all that was found is still there, and the damage is out of the way.
func recoverFrom(t *testing.T, disk *vfs.Crash, name string) outcome {
	t.Helper()
	o := testOptions(disk)
	o.SegmentBytes = 4 << 10
	l, rec, err := Open(o, testIdentity)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	checkBodies(t, l, rec)
	for _, h := range rec.Holes {
		if want := UnitsOf(h.From + 1); h.From != h.To || !h.UnitsKnown || h.Units != want {
			t.Fatalf("%s: hole: got %+v, want units %v", name, h, want)
		}
	}
	_ = l.release()
	l, again, err := Open(o, testIdentity)
	if err != nil {
		t.Fatalf("%s: again: %v", name, err)
	}
	if len(again.Damage)+again.Torn > 0 || len(again.Pending) != len(rec.Pending) || len(again.Holes) != len(rec.Holes) || again.NewWriter ||
		again.Epoch != rec.Epoch || again.StateKnown != rec.StateKnown {
		t.Fatalf("%s: again: got %d pending, %v, %v, torn %d, epoch %d; before %d pending, %v, epoch %d", name, len(again.Pending), again.Damage, again.Holes,
			again.Torn, again.Epoch, len(rec.Pending), rec.Holes, rec.Epoch)
	}
	_ = l.release()
	names, _ := disk.ReadDir(testDir)
	bad := strings.Contains(strings.Join(names, " "), badSuffix)
	if bad != (len(rec.Damage) > 0) {
		t.Fatalf("%s: damage %v, files %v", name, rec.Damage, names)
	}
	return outcome{len(rec.Pending), len(rec.Holes), bad, rec.Torn > 0, rec.NewWriter, rec.StateKnown, rec.Epoch}
}

// flipped is what every flipped bit of a piece must lead to.
func flipped(p *piece, last, lastCommit bool) outcome {
	want := outcome{pending: 3, damaged: true, stateKnown: true, epoch: 3}
	switch p.kind {
	case kindSegment, kindState: // the only checkpoint: there may have been streams that it alone knew
		want.newWriter = true
	case kindEntry:
		want.pending, want.holes = 2, 1
	case kindCommit:
		want.stateKnown = !lastCommit
	case kindMark:
		if last { // nothing says that it was there
			want.damaged, want.torn = false, true
		}
	}
	return want
}

// TestEveryBitFlipped flips each bit of a log of three slices. No slice is ever missing without a hole that tells its units.
func TestEveryBitFlipped(t *testing.T) {
	_, data, pieces := small(t)
	step := 1
	if raceEnabled || testing.Short() {
		step = 41
	}
	commits := 0
	check := func(from, to int64, name string, want func(at int64) outcome) {
		for bit := from * 8; bit < to*8; bit += int64(step) {
			data[bit/8] ^= 1 << (bit % 8)
			where := fmt.Sprintf("%s: byte %d bit %d", name, bit/8, bit%8)
			if got := recoverFrom(t, rewriteAs(t, data), where); got != want(bit/8) {
				t.Errorf("%s:\n got %v\nwant %v", where, got, want(bit/8))
			}
			data[bit/8] ^= 1 << (bit % 8)
			if t.Failed() {
				return
			}
		}
	}
	check(0, preambleSize, "preamble", func(int64) outcome { return outcome{pending: 3, damaged: true, stateKnown: true, epoch: 3} })
	for i := range pieces {
		p := &pieces[i]
		if p.kind == kindCommit {
			commits++
		}
		want := flipped(p, i == len(pieces)-1, commits == 3)
		headers := p.from + frameFixed + commitFields + frameCheck
		check(p.from, p.to, fmt.Sprintf("frame %d of kind %d", i, p.kind), func(at int64) outcome {
			w := want
			if p.kind == kindCommit && at >= headers {
				w.stateKnown = true // only its table is hit
			}
			return w
		})
	}
	end := pieces[len(pieces)-1].to
	check(end, min(end+8, int64(len(data))), "zeros", func(int64) outcome { return outcome{pending: 3, torn: true, stateKnown: true, epoch: 3} })
}

// TestEveryByteCut cuts a log of three slices at each byte, with nothing and with zeros behind. What was whole before the cut is there.
func TestEveryByteCut(t *testing.T) {
	_, data, pieces := small(t)
	step := 1
	if raceEnabled {
		step = 7
	}
	for at := 0; at <= len(data); at += step {
		var want outcome
		begun, checkpoint := false, false
		for i := range pieces {
			p := &pieces[i]
			if int64(at) > p.from {
				begun = true
			}
			if int64(at) < p.to {
				continue
			}
			begun = false
			switch p.kind {
			case kindState:
				checkpoint = true
			case kindCommit:
				want.pending++
				want.epoch++
			case kindEntry:
				begun = true // until its commit
			}
		}
		want.stateKnown = true
		if want.torn = begun; !checkpoint { // it was durable before the segment had its name
			want.torn, want.damaged, want.newWriter = false, true, true
		}
		got := recoverFrom(t, rewriteAs(t, data[:at]), fmt.Sprintf("cut at %d", at))
		if got != want {
			t.Fatalf("cut at %d:\n got %v\nwant %v", at, got, want)
		}
		if at < len(data) && data[at] == 0 {
			continue // the same file as with one byte more
		}
		zeros := append(data[:at:at], make([]byte, 1000)...)
		got = recoverFrom(t, rewriteAs(t, zeros), fmt.Sprintf("zeros from %d", at))
		if got.pending != want.pending || got.epoch != want.epoch || got.holes != 0 || got.newWriter != want.newWriter {
			t.Fatalf("zeros from %d:\n got %v\nwant %v", at, got, want)
		}
	}
}
