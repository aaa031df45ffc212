package wal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

const (
	segSuffix = ".wal"
	tmpSuffix = ".tmp"
	badSuffix = ".bad"
	spareName = "spare" + tmpSuffix
	lockName  = ".lock"
)

func segName(num uint64) string { return fmt.Sprintf("%016x", num) + segSuffix }

// parseName returns the number of a segment's file name; bad says that it was set aside.
func parseName(name string) (num uint64, bad, ok bool) {
	name, bad = strings.CutSuffix(name, badSuffix)
	name, ok = strings.CutSuffix(name, segSuffix)
	if !ok || len(name) != 16 || strings.ToLower(name) != name {
		return 0, false, false
	}
	num, err := strconv.ParseUint(name, 16, 64)
	return num, bad, err == nil && num > 0
}

// segment is one file of the log. f, num, size and version never change; end, synced and closed belong to the writer (Log.wmu);
// the rest to Log.mu.
type segment struct {
	num     uint64
	f       vfs.File
	size    int64  // preallocated
	version uint32 // one older than formatVersion is read only, and emptied by Open

	end    int64 // valid bytes
	synced int64 // of them durable for certain
	closed bool  // nothing is appended any more
	failed bool  // a write or sync failed: never written or synced again, its live entries move out

	declared  bool // recovery: a later segment says where it ends and how far it was synced
	stuck     bool // has an entry that could not be read for moving
	damaged   bool // recovery found damage: becomes .bad instead of being removed
	live      int  // unacked entries
	liveBytes int64
	oldestMS  uint64 // lowest sealed_at of an entry written to it
	pins      int    // reads under way
	dropped   bool
	// deadAt is the write after whose sync the file may go: when live reached 0, what says so must be durable first.
	// never: no such write yet.
	deadAt uint64
}

const never = ^uint64(0)
