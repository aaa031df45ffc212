package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Policy says when a commit is made durable.
type Policy uint8

const (
	// OnSeal (default): before Append returns. A power cut loses nothing that Append has accepted.
	OnSeal Policy = iota
	// Interval: every FsyncInterval, and before the next commit is written. Append returns once the kernel has the bytes:
	// a killed process loses nothing, a power cut at most the last commit; the writer id is then replaced.
	Interval
	// Never: when the kernel likes. As Interval, but a power cut may lose any number of commits.
	Never
)

func (p Policy) String() string {
	switch p {
	case OnSeal:
		return "on-seal"
	case Interval:
		return "interval"
	case Never:
		return "never"
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// Options configures a log. It is copied; the zero value of each field but Dir means its default.
type Options struct {
	Dir           string        // the log's directory, made where absent; its own, not shared with other files
	MaxBytes      int64         // cap on the segments' bytes; 512 MiB. An eighth of it is the reserve, see Commit.Reserve
	MaxEntries    int           // cap on unacked entries; 200,000
	MaxAge        time.Duration // oldest unacked entry before Stats.Stale; 24 h. Degrades readiness, refuses nothing
	Fsync         Policy        // OnSeal
	FsyncInterval time.Duration // with Interval; 1 s
	LockWait      time.Duration // how long Open waits for another owner to go; 0: not at all
	SegmentBytes  int64         // preallocated size of a segment; MaxBytes/16, 64 KiB to 32 MiB. One commit never spans two

	FS  vfs.FS           // the file system; vfs.OS
	Now func() time.Time // the wall clock; time.Now
	// BootID names this boot of the machine; default: the kernel's. Two different ones mean that the page cache was lost.
	BootID func() [16]byte

	// OnFsync, where set, is told how long each sync of a segment took. Called by the goroutine that synced.
	OnFsync func(time.Duration)
	// Body, where set, returns the caller's copy of an entry's body or nil. It is asked only when live entries must be rewritten
	// and the disk's copy can't be read. Called with the log's locks held: it must not call the log.
	Body func(Stream, uint64) []byte
}

// Identity is what a directory is bound to besides its writer.
type Identity struct {
	WindowS    uint64   // the window in seconds; 0: don't care. Another one than the directory's is refused while it holds chains
	Dimensions []string // all dimension names in their order; kept so that tools can show them, and returned by Recovered
}

const (
	defaultMaxBytes   = 512 << 20
	defaultMaxEntries = 200_000
	defaultMaxAge     = 24 * time.Hour
	minSegment        = 64 << 10
	maxSegment        = 32 << 20
)

// WithDefaults returns the options with every default filled in.
func (o Options) WithDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = defaultMaxEntries
	}
	if o.MaxAge == 0 {
		o.MaxAge = defaultMaxAge
	}
	if o.FsyncInterval == 0 {
		o.FsyncInterval = time.Second
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = max(minSegment, min(maxSegment, o.MaxBytes/16))
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BootID == nil {
		o.BootID = kernelBootID
	}
	return o
}

// Validate reports every fault of the options, joined. It expects what WithDefaults returns; Open calls both.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("accounting/wal: options: "+format, args...))
	}
	if o.Dir == "" {
		bad("Dir: got none, want a directory")
	}
	if o.MaxBytes < 1<<20 {
		bad("MaxBytes: got %d, want at least 1 MiB", o.MaxBytes)
	}
	if o.MaxEntries < 1 {
		bad("MaxEntries: got %d, want at least 1", o.MaxEntries)
	}
	if o.MaxAge < 0 {
		bad("MaxAge: got %v, want more than 0", o.MaxAge)
	}
	if o.Fsync > Never {
		bad("Fsync: got %v, want OnSeal, Interval or Never", o.Fsync)
	}
	if o.FsyncInterval < time.Millisecond || o.FsyncInterval > time.Minute {
		bad("FsyncInterval: got %v, want 1 ms to 1 min", o.FsyncInterval)
	}
	if o.LockWait < 0 {
		bad("LockWait: got %v, want 0 or more", o.LockWait)
	}
	if o.SegmentBytes < 4<<10 || o.SegmentBytes > 1<<30 {
		bad("SegmentBytes: got %d, want 4 KiB to 1 GiB", o.SegmentBytes)
	}
	return errors.Join(errs...)
}

func (id Identity) validate() error {
	if len(id.Dimensions) > 256 {
		return fmt.Errorf("%w: identity: got %d dimensions, want at most 256", ErrInvalid, len(id.Dimensions))
	}
	for _, d := range id.Dimensions {
		if len(d) == 0 || len(d) > maxDimension {
			return fmt.Errorf("%w: identity: dimension %.80q: want 1 to %d bytes", ErrInvalid, d, maxDimension)
		}
	}
	return nil
}

// digestOf is the check of every body: the slice's own identity.
func digestOf(b []byte) canon.Digest { return canon.Sum(b) }
