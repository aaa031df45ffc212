package wal

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Stream names one chain; it converts to and from export.Stream. A zero Writer means the log's own, in each of the log's methods.
type Stream struct {
	Writer, Tenant canon.ID
	Dimension      string
}

// String is a short form for logs.
func (s Stream) String() string {
	return fmt.Sprintf("%.8s/%.8s/%s", s.Writer.String(), s.Tenant.String(), s.Dimension)
}

// Units is an unsigned 128-bit count of units: sums of slices never wrap.
type Units struct{ Lo, Hi uint64 }

// UnitsOf returns v as Units.
func UnitsOf(v uint64) Units { return Units{Lo: v} }

// Add returns u+v; 2^128 is out of reach of any sum of uint64 that fits on a disk.
func (u Units) Add(v Units) Units {
	lo, c := bits.Add64(u.Lo, v.Lo, 0)
	hi, _ := bits.Add64(u.Hi, v.Hi, c)
	return Units{lo, hi}
}

// Sub returns u-v and whether u ≥ v; where it is not, the difference means nothing.
func (u Units) Sub(v Units) (Units, bool) {
	lo, b := bits.Sub64(u.Lo, v.Lo, 0)
	hi, b := bits.Sub64(u.Hi, v.Hi, b)
	return Units{lo, hi}, b == 0
}

// Entry is one sealed slice on its way into the log, with what its frame header tells about it.
type Entry struct {
	Stream                               Stream // a Writer that is not the log's own is ErrInvalid
	Seq                                  uint64 // above the stream's highest; the next one unless HasGap
	Digest                               canon.Digest
	Prev                                 canon.Digest // meaningful if HasPrev
	HasPrev                              bool
	HasGap                               bool   // the slice declares GapFrom..Seq-1 lost; entries still pending there are dropped with the commit
	GapFrom                              uint64 // meaningful if HasGap
	Units                                Units  // sum of the slice's increments
	SealedAtMS, WindowStartS, WindowEndS uint64
	Body                                 []byte // the slice; Digest is its BLAKE3-256. Read until Append returns, not kept

	Ref Ref // set by Append
}

// FileState is a counter file as of a commit: its id, published rows and the fingerprint of the base area made current.
type FileState struct {
	ID                [16]byte
	Rows, Fingerprint uint64
}

// Commit is a seal: all of it becomes durable or none.
type Commit struct {
	Epoch   uint64    // above the last commit's
	File    FileState // the counter file; zero without one
	Next    FileState // the second file while the map grows; else zero
	Entries []Entry   // may be empty. Several of one stream must be in seq order
	// Reserve lets the commit use the reserve beyond MaxBytes, MaxEntries and the free disk: for seals that must not wait,
	// at a period boundary and at Close.
	Reserve bool
}

// Ref names an entry in the log, wherever compaction moves it, until it is acked. The zero Ref names none.
type Ref struct{ node, gen uint32 }

// Head is what the log knows of a stream: the end of its chain and how far that is acked.
type Head struct {
	Stream       Stream
	Next         uint64       // highest seq ever used + 1
	Digest       canon.Digest // of seq Next-1; meaningful if Known
	Known        bool         // false where damage took the digest
	SealedAtMS   uint64       // of seq Next-1, or the last one known
	WindowEndS   uint64
	Units        Units  // sum of the units of all entries ever committed, slices sealed anew counted again
	Acked        uint64 // seqs below are acked by all required sinks, or superseded
	AckedUnits   Units  // Units as of seq Acked-1
	Retired      bool   // its writer is no longer this log's: pending entries are exported, nothing is added
	PendingFirst Ref    // the first pending entry, zero where none
}

// Pending is an entry that is not acked.
type Pending struct {
	Ref                                  Ref
	Stream                               Stream
	Seq                                  uint64
	Digest, Prev                         canon.Digest
	HasPrev, HasGap                      bool
	GapFrom                              uint64
	Units                                Units
	Bytes                                int // of the body
	Epoch                                uint64
	SealedAtMS, WindowStartS, WindowEndS uint64
}

// Hole is a run of seqs of a stream that were committed, are not acked, and can't be read any more.
type Hole struct {
	Stream     Stream
	From, To   uint64 // inclusive
	Units      Units  // lost with them; meaningful if UnitsKnown
	UnitsKnown bool
}

// Damage is a range of a segment that held durable bytes and no longer reads as written.
type Damage struct {
	Segment  uint64
	From, To int64 // bytes in the segment
	What     string
}

// Recovered is what Open found.
type Recovered struct {
	Writer     canon.ID
	NewDir     bool     // there was no log before
	NewWriter  bool     // the writer id was made by this Open
	OldWriter  canon.ID // the writer before, where NewWriter and there was one
	Window     uint64   // the directory's, before this Open; 0: none
	Dimensions []string // the directory's, before this Open
	BootID     [16]byte // the last one that wrote
	NewBoot    bool     // the machine was restarted since
	Policy     Policy   // the last one that wrote

	Epoch      uint64 // W, the last committed epoch; 0 with none
	File, Next FileState
	StateKnown bool // File and Next are those of Epoch; false where damage took them

	Heads   []Head    // of every stream, in no particular order
	Pending []Pending // of every stream, each stream's by seq

	Torn      int   // torn tails cut off: commits that never were
	TornBytes int64 // their bytes
	Damage    []Damage
	Holes     []Hole
	Rewritten int // entries written anew because no sync mark covered them, or their segment was damaged or old
	Upgraded  int // segments of an older format version
	Duration  time.Duration
}

// Stats is the log's state. Sizes in bytes.
type Stats struct {
	Bytes, MaxBytes     int64 // in segments
	DiskBytes           int64 // with what is preallocated
	Entries, MaxEntries int   // not acked
	LiveBytes           int64 // of unacked entries' frames
	Segments            int
	OldestSealedMS      uint64 // sealed_at of the oldest unacked entry, rounded down to its segment's oldest; 0: none
	Stale               bool   // that is longer ago than MaxAge
	Epoch               uint64
	Commits, Syncs      uint64 // since Open
	SyncFailures        uint64
	WriteFailures       uint64
	Corrupt             uint64 // damaged ranges found since Open, by it included; where a whole segment is gone, the holes that it left
	Spare               bool   // the preallocated reserve segment is there
	Err                 error  // why the last attempt to write failed; nil: the last one succeeded
}
