package pipeline

import (
	"fmt"
	"testing"
)

// This is a checkable model of what seal, commit and mapCounters do with the counter file, the log and the ledger, step by step: two rows, every
// interleaving of increments, sealing and export within small bounds, a kill or a power cut in every state, also in recovery, and an older copy of the file
// restored. Each state must
// conserve; protocols broken on purpose must not.

type pair [2]uint8

func (a pair) plus(b pair) pair  { return pair{a[0] + b[0], a[1] + b[1]} }
func (a pair) minus(b pair) pair { return pair{a[0] - b[0], a[1] - b[1]} }

// print is the fingerprint of a base area, bound to file and epoch.
type print struct {
	file, epoch uint8
	base        pair
}

// logState is what the log says, if all of it is there.
type logState struct {
	epoch  uint8
	f      print
	sealed pair // units in all slices
}

// counterFile is the mapped file.
type counterFile struct {
	here      bool
	file      uint8
	cell      pair
	base      [2]pair
	committed uint8
	born      print
}

type world struct {
	counterFile
	old   counterFile // a copy that somebody took
	loose bool        // and restored: open counts may be missing, never too many
	// the log: as written, and as synced
	written, durable logState
	// elsewhere
	ledger  pair // exported
	counted pair // Record has returned
	sum     pair // counted, but for what a power cut took while it was open
	// the process
	pc      uint8
	v       pair
	attempt logState
	// bounds
	incs, seals, crashes, files uint8
}

// The steps of a seal, and the two of a recovery.
const (
	idle uint8 = iota
	scanned
	based
	appended
	synced
	dead
	opened
)

// broken names one way to get it wrong.
type broken string

var brokenVariants = []broken{"one base word", "base after the commit", "dirty rows only", "export before durable", "file not checked against the log",
	"unsynced tail exported by recovery", "counters folded in place", "epoch used again after an unknown outcome"}

// next yields every state that one step leads to.
func (w world) next(how broken, yield func(world)) {
	area := func(epoch uint8) uint8 {
		if how == "one base word" {
			return 0
		}
		return epoch & 1
	}
	if w.pc < dead {
		for r := range 2 {
			if w.incs > 0 {
				n := w
				n.incs--
				n.cell[r]++
				n.counted[r]++
				n.sum[r]++
				yield(n)
			}
		}
		if n := w; w.ledger != w.durable.sealed || how == "export before durable" && w.ledger != w.written.sealed {
			n.ledger = w.durable.sealed
			if how == "export before durable" {
				n.ledger = w.written.sealed
			}
			if w.pc == idle || how == "export before durable" {
				yield(n)
			}
		}
	}
	writeBase := func(n *world) {
		to := area(n.written.epoch + 1)
		for r := range 2 {
			if how == "dirty rows only" && n.v[r] == n.base[area(n.written.epoch)][r] {
				continue
			}
			n.base[to][r] = n.v[r]
		}
	}
	n := w
	switch w.pc {
	case idle:
		if w.seals > 0 {
			n.seals--
			n.v, n.pc = w.cell, scanned
			yield(n)
		}
	case scanned:
		if how != "base after the commit" {
			writeBase(&n)
		}
		n.attempt = logState{epoch: w.written.epoch + 1, sealed: w.written.sealed.plus(w.v.minus(w.base[area(w.written.epoch)]))}
		n.attempt.f = print{w.file, n.attempt.epoch, n.base[area(n.attempt.epoch)]}
		if how == "base after the commit" {
			n.attempt.f.base = w.v
		}
		n.pc = based
		yield(n)
	case based:
		n.written, n.pc = w.attempt, appended
		yield(n)
		if how == "epoch used again after an unknown outcome" { // the write is reported as failed, though it will be there: abort, seal anew
			n.pc = idle
			n.written = w.written
			n.durable = w.attempt // what a restart will find first
			yield(n)
		}
	case appended:
		n.durable, n.pc = w.written, synced
		if how == "base after the commit" {
			n.written.epoch-- // the base goes where the committed epoch's is
			writeBase(&n)
			n.written.epoch++
		}
		yield(n)
	case synced:
		n.committed, n.pc = w.written.epoch, idle
		yield(n)
	case dead: // recovery: make durable what is there
		n.durable, n.pc = w.written, opened
		if how == "unsynced tail exported by recovery" {
			n.durable = w.durable
			n.ledger = w.written.sealed
		}
		yield(n)
		if n := w; !w.old.here && w.here {
			n.old = w.counterFile
			yield(n)
		}
		if n := w; w.old.here && !w.loose {
			n.counterFile, n.loose = w.old, true
			yield(n)
		}
	case opened: // and the counter file anew
		cur := w.base[area(w.written.epoch)]
		open := w.cell.minus(cur)
		good := w.here && (w.file == w.written.f.file && w.written.f == print{w.file, w.written.epoch, cur} || w.born == w.written.f && w.file != w.written.f.file)
		if how == "file not checked against the log" {
			good = w.here
		}
		if !good {
			open = pair{}
		}
		if how == "counters folded in place" && good {
			// One word at a time: a crash between the two is a state of its own.
			half := w
			half.cell = open
			if half.crashes > 0 && half.cell != w.cell {
				half.crashes--
				half.pc = dead
				yield(half)
			}
		}
		n.files++
		n.counterFile, n.pc = counterFile{here: true, file: n.files, cell: open, born: w.written.f, committed: w.written.epoch}, idle
		yield(n)
	}
	if w.crashes == 0 {
		return
	}
	w.crashes--
	w.v, w.attempt = pair{}, logState{}
	kill := w
	kill.pc = dead
	yield(kill)
	cut := kill // the power: the counter file is gone, and of the log what was not synced, or not
	cut.counterFile = counterFile{}
	for _, left := range []logState{w.durable, w.written} {
		cut.written, cut.durable = left, left
		cut.sum = left.sealed
		yield(cut)
	}
}

// wrong says what a state breaks, or nothing.
func (w world) wrong(how broken) string {
	for r := range 2 {
		if w.ledger[r] > w.durable.sealed[r] {
			return "exported what is not durable"
		}
	}
	if w.pc != idle || !w.here {
		return ""
	}
	i := w.written.epoch & 1
	if how == "one base word" {
		i = 0
	}
	got := w.written.sealed.plus(w.cell.minus(w.base[i]))
	if w.loose && got[0] <= w.counted[0] && got[1] <= w.counted[1] {
		return ""
	}
	if got != w.sum {
		return fmt.Sprintf("sealed and open are %v, counted %v", got, w.sum)
	}
	return ""
}

// explore visits every state and returns the first that is wrong.
func explore(how broken) (states int, fault string) {
	start := world{counterFile: counterFile{here: true, file: 1}, files: 1, incs: 3, seals: 3, crashes: 2}
	seen := map[world]bool{start: true}
	todo := []world{start}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if why := w.wrong(how); why != "" {
			return len(seen), fmt.Sprintf("%s: %+v", why, w)
		}
		w.next(how, func(n world) {
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		})
	}
	return len(seen), ""
}

func TestProtocolModel(t *testing.T) {
	states, fault := explore("")
	t.Logf("%d states", states)
	if fault != "" {
		t.Error(fault)
	}
	if states < 10_000 {
		t.Errorf("%d states: the model does not move", states)
	}
	for _, how := range brokenVariants {
		if _, fault := explore(how); fault == "" {
			t.Errorf("%s: not caught", how)
		}
	}
}
