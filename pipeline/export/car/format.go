package car

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ron-accounting/ron-accounting/canon"
)

// The frozen bytes of the format.
const (
	cidPrefix = "\x01\x71\x1e\x20" // CIDv1, dag-cbor, blake3, 32 bytes
	cidSize   = len(cidPrefix) + 32
	// {"roots": [42(h'00' CID)], "version": 1}
	headBefore = "\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
	headAfter  = "\x67version\x01"
	headSize   = len(headBefore) + cidSize + len(headAfter)

	maxSection = cidSize + canon.MaxBytes
)

var (
	// errTorn: the bytes end inside a section.
	errTorn = errors.New("accounting/car: ends inside a section")
	// ErrFormat: the bytes are not a section, or not a file, of this archive.
	ErrFormat = errors.New("accounting/car: not a slice archive")
)

// SizeHeader is the size of a file's header.
func SizeHeader() int { return 1 + headSize }

// AppendHeader appends the header of a file whose first slice has digest root.
func AppendHeader(b []byte, root canon.Digest) []byte {
	b = binary.AppendUvarint(b, uint64(headSize))
	b = append(b, headBefore...)
	b = append(b, cidPrefix...)
	b = append(b, root[:]...)
	return append(b, headAfter...)
}

// SizeSection is the size of a slice's section.
func SizeSection(s canon.SealedSlice) int {
	n := cidSize + len(s.Bytes())
	return sizeUvarint(uint64(n)) + n
}

// AppendSection appends a slice's section.
func AppendSection(b []byte, s canon.SealedSlice) []byte {
	d := s.Digest()
	b = binary.AppendUvarint(b, uint64(cidSize+len(s.Bytes())))
	b = append(b, cidPrefix...)
	b = append(b, d[:]...)
	return append(b, s.Bytes()...)
}

func sizeUvarint(v uint64) (n int) {
	for n = 1; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// source reads sections one after another. It never allocates more than a section may be.
type source struct {
	r   io.ByteScanner
	in  io.Reader // the same
	off int64     // of the next byte
}

// next returns the next section's bytes; io.EOF at a clean end, errTorn where the bytes end early, ErrFormat else.
func (s *source) next(most int) ([]byte, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		c, err := s.r.ReadByte()
		if err == io.EOF && shift == 0 {
			return nil, io.EOF
		} else if err == io.EOF {
			return nil, errTorn
		} else if err != nil {
			return nil, err
		}
		s.off++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return nil, fmt.Errorf("%w: got a length that is not the shortest", ErrFormat)
			}
			break
		}
		if shift > 21 {
			return nil, fmt.Errorf("%w: got a length of more than 4 bytes", ErrFormat)
		}
	}
	if n == 0 || n > uint64(most) {
		return nil, fmt.Errorf("%w: got a section of %d bytes, want 1 to %d", ErrFormat, n, most)
	}
	b := make([]byte, n)
	k, err := io.ReadFull(s.in, b)
	s.off += int64(k)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, errTorn
	}
	return b, err
}

// header reads and checks a file's header.
func (s *source) header() error {
	b, err := s.next(headSize)
	if err != nil {
		return err
	}
	if len(b) != headSize || string(b[:len(headBefore)]) != headBefore || string(b[len(headBefore):][:len(cidPrefix)]) != cidPrefix || string(b[headSize-len(headAfter):]) != headAfter {
		return fmt.Errorf("%w: got another header", ErrFormat)
	}
	return nil
}

// slice reads the next section as a slice, and checks its digest and its bytes.
func (s *source) slice() (canon.SealedSlice, error) {
	b, err := s.next(maxSection)
	if err != nil {
		return canon.SealedSlice{}, err
	}
	if len(b) < cidSize || string(b[:len(cidPrefix)]) != cidPrefix {
		return canon.SealedSlice{}, fmt.Errorf("%w: got a block whose CID is not dag-cbor with blake3", ErrFormat)
	}
	v, err := canon.View(b[cidSize:])
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if d := v.Digest(); string(d[:]) != string(b[len(cidPrefix):cidSize]) {
		return v, fmt.Errorf("%w: digest: got %v, the CID says b3:%x", ErrFormat, d, b[len(cidPrefix):cidSize])
	}
	return v, nil
}
