package table

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"slices"
)

// A counter file is a header and then the region of one generation, mapped and never shrunk:
//
//	0      magic "RONCOUNT", version u32, byte order mark u32
//	16     slots, words of a slot, columns, capacity, buckets: u64 each
//	56     seed, six u64
//	104    writer, 16 bytes; file id, 16 bytes
//	136    born: fingerprint of the commit after which the file was made, 0 if there was none
//	144    layout name, u8 length and bytes; dimensions, u16 number, then u8 length and bytes each
//	...    zeros to fileHeader-16
//	-16    crc64 of all before
//	-8     committed: the last epoch known to be in the log; the one word that changes
//	32768  the region, see plan
//
// An open never goes on in a file it finds: it makes a new one from the open counts (path.tmp, then rename). So torn
// slots, other columns, another capacity, renumbered dimensions and older versions all take one path. A sweep does the same while it runs.

const (
	fileHeader  = 32 << 10
	fileMagic   = "RONCOUNT"
	fileVersion = 1
	fileOrder   = 0x01020304
)

var (
	ErrFileBusy   = errors.New("accounting/shardmap: counter file has a live owner") // another process, or this one
	ErrFileSystem = errors.New("accounting/shardmap: counter file needs a tmpfs")    // or the platform can't map one
	// ErrFileForeign: what stands under the name is no counter file of this log, and is left as it is: a device, another program's file, a newer
	// release's, or another writer's, whose open counts are intact and wait for that writer's next start.
	ErrFileForeign = errors.New("accounting/shardmap: counter file is somebody else's; name another one, or move it away")
)

// FileCommit is what the log's last commit says of the counters. The zero value: the log has none.
type FileCommit struct {
	Epoch       uint64
	FileID      [16]byte
	Rows        uint64
	Fingerprint uint64
}

// FileConfig names a counter file and what it must fit.
type FileConfig struct {
	Path       string // on a tmpfs; beside it Path.tmp, Path.lock and, for files set aside, Path.bad, Path.bad.1 to .7
	Writer     [16]byte
	Commit     FileCommit
	Dimensions []string // by number; rows of the file are renumbered by name
	// OldWriter, where not zero, is another writer whose file may be taken over: the log has just replaced it.
	OldWriter [16]byte
	// Earlier are writers that the log has been before: their files can't be used, but are no foreigner's either.
	Earlier [][16]byte
	// NewWriter, where set, is called when the file has seen commits that the log has lost, before a file for the writer that
	// it returns is made: seqs of the old writer may have been used by then, and must not be used again.
	NewWriter func() ([16]byte, error)
	// Rescue, where set, is called where no file can be used: what it returns is open in the new one from its first moment.
	Rescue func() ([]FileRow, error)
	AnyFS  bool   // allow another file system than a tmpfs: for tests
	Step   func() // tests: called between the steps of a change of generation
}

// FileReport says what an open found.
type FileReport struct {
	Found     bool   // there was a file
	SetAside  string // not empty: why it could not be used; its open units are lost, how many is unknown
	KeptAs    string // the name that it was set aside as
	Rescued   bool   // Rows and Units are Rescue's, not the file's
	Rows      int    // rows with open units taken over
	Units     U128   // these units
	BadSlots  int    // slots torn or without a key that held units, or that hold less than was sealed
	LostUnits U128   // of the former; of the latter how many is unknown
	Committed uint64 // above Commit.Epoch: the log has lost commits that may have been exported; take a new writer
}

type fileHead struct {
	slots, words, cols, capacity, buckets uint64
	seed                                  Seed
	writer, id                            [16]byte
	born                                  uint64
	layout                                string
	dims                                  []string
}

var crcTable = crc64.MakeTable(crc64.ECMA)

func (h *fileHead) append(b []byte) []byte {
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint32(b, fileVersion)
	b = binary.NativeEndian.AppendUint32(b, fileOrder)
	for _, v := range append([]uint64{h.slots, h.words, h.cols, h.capacity, h.buckets}, h.seed[:]...) {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(append(b, h.writer[:]...), h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.born)
	b = append(append(b, byte(len(h.layout))), h.layout...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.dims)))
	for _, d := range h.dims {
		b = append(append(b, byte(len(d))), d...)
	}
	b = append(b, make([]byte, fileHeader-16-len(b))...)
	b = binary.LittleEndian.AppendUint64(b, crc64.Checksum(b, crcTable))
	return binary.LittleEndian.AppendUint64(b, 0)
}

// parse reads a header, or says in a few words how it is damaged. The error is ErrFileForeign.
func (h *fileHead) parse(b []byte) (damage string, err error) {
	foreign := func(format string, v ...any) (string, error) {
		return "", fmt.Errorf("%w: "+format, append([]any{ErrFileForeign}, v...)...)
	}
	switch {
	case len(b) == 0:
		return "empty", nil
	case len(b) < 16 || string(b[:8]) != fileMagic:
		return foreign("not a counter file")
	case binary.NativeEndian.Uint32(b[12:]) != fileOrder:
		return foreign("written by a machine of the other byte order")
	case binary.LittleEndian.Uint32(b[8:]) != fileVersion:
		return foreign("version %d, this release knows %d", binary.LittleEndian.Uint32(b[8:]), fileVersion)
	case len(b) < fileHeader:
		return fmt.Sprintf("%d bytes, less than a header", len(b)), nil
	case crc64.Checksum(b[:fileHeader-16], crcTable) != binary.LittleEndian.Uint64(b[fileHeader-16:]):
		return "header damaged", nil
	}
	for i, p := range []*uint64{&h.slots, &h.words, &h.cols, &h.capacity, &h.buckets} {
		*p = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	for i := range h.seed {
		h.seed[i] = binary.LittleEndian.Uint64(b[56+8*i:])
	}
	copy(h.writer[:], b[104:])
	copy(h.id[:], b[120:])
	h.born = binary.LittleEndian.Uint64(b[136:])
	r := b[144 : fileHeader-16] // the checksum has been checked: lengths are what append wrote
	str := func() string { s := string(r[1 : 1+r[0]]); r = r[1+len(s):]; return s }
	h.layout = str()
	n := binary.LittleEndian.Uint16(r)
	r = r[2:]
	for range n {
		h.dims = append(h.dims, str())
	}
	if h.capacity < 1 || h.capacity > MaxCapacity || h.cols > maxColumns || h.words > uint64(len(Packed{})) || h.slots != h.capacity+h.capacity/4+1+maxHint {
		return "header does not add up", nil
	}
	return "", nil
}

// found is a counter file as an open finds it, mapped as a generation that nobody counts in.
type found struct {
	head      fileHead
	committed uint64
	g         *Gen
}

// belongs says whether the file is this log's: its writer's, or one that the log has used under an earlier writer id.
func (f *found) belongs(c *Core, fc *FileConfig) error {
	switch h := &f.head; {
	case h.layout != c.layout.Name || h.words != uint64(c.layout.Words):
		return fmt.Errorf("%w: holds layout %q, want %q", ErrFileForeign, h.layout, c.layout.Name)
	case h.writer != fc.Writer && h.writer != fc.OldWriter && !slices.Contains(fc.Earlier, h.writer) && (fc.Commit.Epoch == 0 || h.id != fc.Commit.FileID):
		return fmt.Errorf("%w: belongs to writer %x, this is %x", ErrFileForeign, h.writer, fc.Writer)
	}
	return nil
}

// check says why the file can't be used with the log's last commit, or nothing.
func (f *found) check(fc *FileConfig) string {
	switch h, w := &f.head, fc.Commit.Epoch; {
	case h.writer != fc.Writer && (h.writer != fc.OldWriter || fc.OldWriter == [16]byte{}):
		return fmt.Sprintf("belongs to writer %x, which this log was before it became %x", h.writer, fc.Writer)
	case f.committed > w: // the base of a commit that the log has lost: nothing to compare with
		return ""
	case h.id == fc.Commit.FileID && w > 0:
		if got := f.g.fingerprint(w, h.id); got != fc.Commit.Fingerprint {
			return fmt.Sprintf("fingerprint of epoch %d: got %016x, want %016x", w, got, fc.Commit.Fingerprint)
		}
	case h.born != fc.Commit.Fingerprint:
		return fmt.Sprintf("made after another commit than epoch %d", w)
	default: // made after this commit: nothing has been sealed in it
		for row, lo := range f.g.baseLo[w&1] {
			if lo|f.g.baseHi[w&1][row] != 0 {
				return "has a sealed base without a commit"
			}
		}
	}
	return ""
}

// FileRow is a row to take over.
type FileRow struct {
	Key  Packed
	Open U128
}

// rows reads the open counts, with dimensions renumbered.
func (f *found) rows(c *Core, fc *FileConfig, rep *FileReport) ([]FileRow, error) {
	area := max(fc.Commit.Epoch, f.committed) & 1
	number := map[string]uint8{}
	for i, d := range fc.Dimensions {
		number[d] = uint8(i)
	}
	l := &c.layout
	var out []FileRow
	var k Packed // one for all: it escapes
	for row := range f.g.n {
		value, base := f.g.value(row), U128{f.g.baseHi[area][row], f.g.baseLo[area][row]}
		open := value.Sub(base)
		if open.IsZero() {
			continue
		}
		if value.less(base) { // counters only grow: a difference below 0 would be 2^128 less something, and billed as 2^64-1
			rep.BadSlots++
			continue
		}
		k = c.key(f.g, row)
		if _, q := l.Hash(&k, &f.head.seed); *f.g.word(row, l.Words-1) != Tag(q, row) {
			rep.BadSlots++
			rep.LostUnits = rep.LostUnits.Add(open)
			continue
		}
		if l.DimWord >= 0 {
			d := int(c.dim(&k))
			if d >= len(f.head.dims) {
				rep.BadSlots++
				rep.LostUnits = rep.LostUnits.Add(open)
				continue
			}
			to, ok := number[f.head.dims[d]]
			if !ok {
				return nil, fmt.Errorf("%w: counter file has open units of dimension %q, which is not configured", ErrConfig, f.head.dims[d])
			}
			k[l.DimWord] = k[l.DimWord]&^(255<<l.DimShift) | uint64(to)<<l.DimShift
		}
		out = append(out, FileRow{k, open})
		rep.Units = rep.Units.Add(open)
	}
	rep.Rows = len(out)
	return out, nil
}

// ownFile is what a map's next file says as this one does.
type ownFile struct {
	path   string
	writer [16]byte
	dims   []string
	epoch  uint64 // of the commit that the file was made after
	born   uint64 // its fingerprint
	step   func()
}

// lastFingerprint returns F of the log's last commit, whichever file that was made with.
func (c *Core) lastFingerprint() uint64 {
	if c.epoch == c.file.epoch {
		return c.file.born
	}
	return c.sealer.cur.fingerprint(c.epoch, c.fileID)
}

func (c *Core) fileStep() {
	if c.file != nil && c.file.step != nil {
		c.file.step()
	}
}

func newFileID() (id [16]byte) { rand.Read(id[:]); return id }
