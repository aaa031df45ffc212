package pipeline

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
	"github.com/ron-accounting/ron-accounting/shardmap"
	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

// mapCounters makes a shard map in the counter file, with what an earlier run left open there. The protocol: the WAL's last commit says which of
// the file's two base areas is current and what it must look like; a file of this log that does not fit is set aside, and what it had open is lost; a
// foreign one is refused.
func (p *Pipeline) mapCounters(rec *wal.Recovered) error {
	last := p.lastAlive(rec)
	c := table.FileCommit{Epoch: rec.Epoch, FileID: rec.File.ID, Rows: rec.File.Rows, Fingerprint: rec.File.Fingerprint}
	if !rec.StateKnown && rec.Epoch > 0 {
		c = table.FileCommit{Epoch: rec.Epoch, Fingerprint: rand.Uint64() | 1} // no file can be shown to fit
	}
	file := table.FileConfig{
		Path: p.o.CounterFile, Writer: p.writer, Commit: c, Dimensions: p.dims,
		NewWriter: func() (id [16]byte, err error) {
			old := p.writer
			p.writer, err = p.wal.NewWriter()
			if err == nil {
				p.metrics.WALCorrupt.Inc()
				p.log.Error("the WAL has lost commits that may have been exported: new writer", "old", old.String()[:8], "new", p.writer.String()[:8])
			}
			return p.writer, err
		},
	}
	if rec.NewWriter {
		file.OldWriter = rec.OldWriter
	}
	for i := range rec.Heads { // a kill may have come between the change of writer and the new file
		if w := [16]byte(rec.Heads[i].Stream.Writer); w != p.writer && !slices.Contains(file.Earlier, w) {
			file.Earlier = append(file.Earlier, w)
		}
	}
	rescuedFrom := uint64(0)
	file.Rescue = func() (rows []table.FileRow, err error) {
		rows, rescuedFrom, err = p.restoreOpen(rec)
		return rows, err
	}
	m, report, err := shardmap.OpenWide(p.mapConfig(), file, func(k *shardmap.WideKey) (uint32, bool) {
		sk := streamKey{k.Tenant, Dimension(k.Dimension)}
		return p.streams.add(sk, func(id uint32) *stream { return p.newStream(id, sk) })
	})
	if err != nil {
		return fmt.Errorf("CounterFile: %w", err)
	}
	p.m = m
	p.reportCounters(rec, &report)
	if report.Rescued {
		last = rescuedFrom
	}
	if report.Rows > 0 {
		p.sealFrom(last)
	}
	p.stampCounters() // the file is new, what is open in it is not
	return nil
}

// reportCounters says what became of an earlier run's open counts.
func (p *Pipeline) reportCounters(rec *wal.Recovered, r *table.FileReport) {
	lost := func(reason string) { p.metrics.QueueDropped.WithLabelValues("counters", reason).Inc() }
	if r.SetAside != "" && (r.Found || rec.File.ID != [16]byte{}) { // a directory that never had a counter file misses none
		lost("set_aside")
		if r.Rescued {
			p.log.Error("counter file can't be used: what was counted after the last checkpoint is lost, how much is unknown", "file", p.o.CounterFile,
				"why", r.SetAside, "kept_as", r.KeptAs, "rows", r.Rows, "units", bigInt(r.Units))
			return
		}
		p.log.Error("open counts of the last run are lost, how many is unknown", "file", p.o.CounterFile, "why", r.SetAside, "kept_as", r.KeptAs)
	}
	if r.BadSlots > 0 {
		lost("bad_slot")
		p.log.Error("damaged slots in the counter file: their open counts are lost", "slots", r.BadSlots, "units_known", bigInt(r.LostUnits))
	}
	if r.Found && r.SetAside == "" {
		p.log.Info("counters recovered", "rows", r.Rows, "units", bigInt(r.Units))
	}
}

// lastAlive returns the start of the window in which the counter file's owner was last known to count: the file's time is set at each boundary.
func (p *Pipeline) lastAlive(rec *wal.Recovered) uint64 {
	info, err := os.Stat(p.o.CounterFile)
	if err != nil {
		return p.roll.cur.start
	}
	last := windowAt(info.ModTime(), p.seconds).start
	for i := range rec.Heads {
		if h := &rec.Heads[i]; h.WindowEndS > p.seconds {
			last = max(last, min(h.WindowEndS-p.seconds, p.roll.cur.start))
		}
	}
	return last
}

// stampCounters notes in the counter file's time that all counts of windows before the current one are sealed.
func (p *Pipeline) stampCounters() {
	if p.o.CounterFile == "" {
		return
	}
	t := time.Unix(int64(p.roll.cur.start), 0)
	if err := os.Chtimes(p.o.CounterFile, t, t); err != nil {
		p.log.Warn("counter file's time not set: after a crash open counts may be given to older windows", "err", err)
	}
}

// fileState is what a commit says of the counter file; zero without one.
func (p *Pipeline) fileState(rows int) wal.FileState {
	if p.m.FileID() == (canon.ID{}) {
		if p.ckpt.heap {
			return wal.FileState{Fingerprint: heapCheckpointed}
		}
		return wal.FileState{}
	}
	return wal.FileState{ID: p.m.FileID(), Rows: uint64(rows), Fingerprint: p.m.Fingerprint()}
}
