package ingress

import (
	"encoding/binary"
	"os"

	"github.com/ron-accounting/ron-accounting/canon"
)

// progress says how far the counting of batches has come: one small file that is written in place, without a sync. It outlives the process, as the
// kernel has it, and not a power cut: as the counters themselves. Batches are counted one after another, so one number each is enough:
//
//	0   writer of the log whose batches are meant, 16 bytes
//	16  seq<<20 | rows of that batch that were begun; all of those below are counted
//
// A row is noted before it is counted: should the process be killed between the two, that one row is not counted; it is never counted twice.
type progress struct {
	f   *os.File
	mem []byte // the file, mapped; nil where that can't be
	was [24]byte
}

const (
	progressFile = "progress"
	progressSize = 4096
	rowBits      = 20
)

func openProgress(path string) (*progress, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &progress{f: f}
	_, _ = f.ReadAt(p.was[:], 0) // a new file has nothing to tell
	if err := f.Truncate(progressSize); err != nil {
		_ = f.Close()
		return nil, err
	}
	p.mem = mapFile(f)
	return p, nil
}

// of tells which batch of a log's writer was begun last, and how many rows of it.
func (p *progress) of(writer canon.ID) (seq uint64, rows int, known bool) {
	if writer != canon.ID(p.was[:16]) {
		return 0, 0, false
	}
	w := binary.LittleEndian.Uint64(p.was[16:])
	return w >> rowBits, int(w & (1<<rowBits - 1)), true
}

// begin is called once nothing is left to be counted: the next batch of that writer is number next.
func (p *progress) begin(writer canon.ID, next uint64) {
	p.set(next, 0)
	p.write(writer[:], 0)
}

// set notes that so many rows of a batch were begun.
func (p *progress) set(seq uint64, rows int) {
	w := seq<<rowBits | uint64(rows)
	if p.mem != nil {
		storeWord(p.mem[16:], w)
		return
	}
	p.write(binary.LittleEndian.AppendUint64(nil, w), 16)
}

func (p *progress) write(b []byte, at int64) {
	if p.mem != nil {
		copy(p.mem[at:], b)
		return
	}
	_, _ = p.f.WriteAt(b, at) // where it fails, a kill may leave a batch uncounted: nothing is counted twice
}

func (p *progress) close() error {
	unmapFile(p.mem)
	p.mem = nil
	return p.f.Close()
}
