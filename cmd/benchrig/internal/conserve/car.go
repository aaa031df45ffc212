package conserve

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zeebo/blake3"
)

// sliceCID is how a slice's CID begins in an archive: version 1, dag-cbor, blake3, 32 bytes.
var sliceCID = linkPrefix[1:]

// maxBlock bounds one block of an archive; a slice is at most 1 MiB.
const maxBlock = 2 << 20

// LooksLikeCAR reports whether a file that begins with head is a CARv1 archive.
func LooksLikeCAR(head []byte) bool {
	n, used := binary.Uvarint(head)
	if used <= 0 || n < 16 || n > maxBlock {
		return false
	}
	rest := head[used:]
	return len(rest) > 7 && (bytes.HasPrefix(rest, []byte("\xa2\x65roots")) || bytes.HasPrefix(rest, []byte("\xa1\x67version")) || bytes.HasPrefix(rest, []byte("\xa2\x67version")))
}

// EachCAR calls fn with the body of each slice of a CARv1 archive, in the order of the file, with its offset. Blocks of other
// kinds are passed over. It fails where a block's bytes do not have the digest of its CID.
func EachCAR(path string, fn func(offset int64, body []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &counting{r: bufio.NewReaderSize(f, 1<<20)}
	header, err := section(r)
	if err != nil {
		return fmt.Errorf("%s: header: %w", path, err)
	}
	var head struct {
		Version uint64 `cbor:"version"`
		Roots   []any  `cbor:"roots"`
	}
	if err := decoder.Unmarshal(header, &head); err != nil || head.Version != 1 {
		return fmt.Errorf("%s: want a CARv1 header, got version %d (%v)", path, head.Version, err)
	}
	for {
		at := r.n
		block, err := section(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: offset %d: %w", path, at, err)
		}
		if !bytes.HasPrefix(block, sliceCID) || len(block) < len(sliceCID)+32 {
			continue
		}
		want, body := block[len(sliceCID):len(sliceCID)+32], block[len(sliceCID)+32:]
		if got := blake3.Sum256(body); !bytes.Equal(got[:], want) {
			return fmt.Errorf("%s: offset %d: digest: got %x, want %x", path, at, got, want)
		}
		if !looksLikeSlice(body) {
			continue
		}
		if err := fn(at, body); err != nil {
			return fmt.Errorf("%s: offset %d: %w", path, at, err)
		}
	}
}

// looksLikeSlice reports whether v begins as every slice does: a map of two whose first key is "head".
func looksLikeSlice(v []byte) bool { return bytes.HasPrefix(v, []byte("\xa2\x64head")) }

// section reads a length and that many bytes. io.EOF only where there is nothing at all.
func section(r *counting) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || n > maxBlock:
		return nil, fmt.Errorf("a section of %d bytes, want 1 to %d", n, maxBlock)
	}
	b := make([]byte, n)
	if m, err := io.ReadFull(r.r, b); err != nil {
		return nil, fmt.Errorf("a section of %d bytes, %d are there", n, m)
	}
	r.n += int64(n)
	return b, nil
}

// counting counts the bytes read.
type counting struct {
	r *bufio.Reader
	n int64
}

func (c *counting) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
