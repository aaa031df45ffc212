package pprof

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/pprof/profile"
)

// MaxProfileBytes bounds a profile, both as read and after decompression.
const MaxProfileBytes = 256 << 20

// ReadProfile reads a pprof profile, gzipped or not. Anything else, and anything beyond MaxProfileBytes, is ErrProfile:
// the bound holds while decompressing, so a small hostile file costs no more memory than it.
func ReadProfile(r io.Reader) (*profile.Profile, error) {
	br := bufio.NewReader(io.LimitReader(r, MaxProfileBytes+1))
	var src io.Reader = br
	if magic, _ := br.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, errors.Join(ErrProfile, err)
		}
		src = z
	}
	b, err := io.ReadAll(io.LimitReader(src, MaxProfileBytes+1))
	if err != nil {
		return nil, errors.Join(ErrProfile, err)
	}
	if len(b) > MaxProfileBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrProfile, MaxProfileBytes)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrProfile)
	}
	p, err := profile.ParseUncompressed(b)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return nil, errors.Join(ErrProfile, err)
	}
	return p, nil
}

// ReadProfileFile is ReadProfile of a file.
func ReadProfileFile(path string) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("accounting/pprof: %w", err)
	}
	defer f.Close()
	p, err := ReadProfile(f)
	if err != nil {
		return nil, fmt.Errorf("accounting/pprof: %s: %w", path, err)
	}
	return p, nil
}
