package wal

import "time"

// This file has how much there is and how much more may come.

// Stats returns the log's state as of now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.MaxBytes, s.MaxEntries = l.o.MaxBytes, l.o.MaxEntries
	s.Entries, s.Segments, s.Epoch = l.entries, len(l.segs), l.state.epoch
	s.Bytes, s.LiveBytes = 0, 0
	for _, g := range l.segs {
		s.Bytes += g.end
		s.DiskBytes += max(g.size, g.end)
		s.LiveBytes += g.liveBytes
		if g.live > 0 && (s.OldestSealedMS == 0 || g.oldestMS < s.OldestSealedMS) {
			s.OldestSealedMS = g.oldestMS
		}
	}
	if s.Spare {
		s.DiskBytes += l.o.SegmentBytes
	}
	now := l.nowMS()
	s.Stale = s.OldestSealedMS > 0 && now > s.OldestSealedMS && time.Duration(now-s.OldestSealedMS)*time.Millisecond > l.o.MaxAge
	return s
}

// used is the bytes in all segments; caller holds mu.
func (l *Log) used() (used, live int64) {
	for _, g := range l.segs {
		used += g.end
		live += g.liveBytes
	}
	return used, live
}

// bytesCap is what a commit may fill the log to.
func (l *Log) bytesCap(reserve bool) int64 {
	if reserve {
		return l.o.MaxBytes
	}
	return l.o.MaxBytes - l.o.MaxBytes/8
}

// EntryOverhead is an upper bound of what an entry takes in the log beside its body; CommitOverhead of a commit's.
const (
	EntryOverhead  = frameFixed + entryFixed + maxDimension + frameCheck + 16 + 1 + maxDimension + 8 + 32 + 16 + 16 + 9
	CommitOverhead = frameFixed + commitFields + frameCheck + frameFixed + markFields + frameCheck
)

// Room returns what the next commit may hold before a cap refuses it: bytes, with EntryOverhead for each entry and
// CommitOverhead once, and entries. What compaction would free is counted. The disk may refuse earlier.
func (l *Log) Room(reserve bool) (bytes int64, entries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used, live := l.used()
	limit := l.bytesCap(reserve)
	bytes = max(limit-used, limit-live-l.overhead(), 0)
	if reserve {
		return bytes, 1<<31 - 1 - l.entries
	}
	return bytes, max(0, l.o.MaxEntries-l.entries)
}

// overhead is what the log takes beside its live entries once all of it is compacted, at most: caller holds mu.
func (l *Log) overhead() int64 {
	return int64(len(l.segs)+2) * (l.checkpointSize() + 2*markSize)
}
