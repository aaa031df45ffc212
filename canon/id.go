package canon

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID is an opaque 128-bit identifier, big-endian: tenants, subjects, writers.
type ID [16]byte

// IDFromUint64 returns the ID whose low 64 bits are v and whose high bits are zero.
func IDFromUint64(v uint64) (id ID) {
	binary.BigEndian.PutUint64(id[8:], v)
	return id
}

// ParseID reads 32 hexadecimal digits, or a UUID in its 8-4-4-4-12 form; either case of letter.
func ParseID(s string) (id ID, err error) {
	h := s
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		h = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(h) != 32 {
		return ID{}, fmt.Errorf("accounting/canon: id %.40q: got %d characters, want 32 hexadecimal digits or a UUID", s, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(h)); err != nil {
		return ID{}, fmt.Errorf("accounting/canon: id %.40q: want 32 hexadecimal digits or a UUID: %w", s, err)
	}
	return id, nil
}

// String returns 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Uint64 returns the low 64 bits.
func (id ID) Uint64() uint64 { return binary.BigEndian.Uint64(id[8:]) }

// Compare orders ids as big-endian numbers: -1, 0 or 1.
func (id ID) Compare(o ID) int { return bytes.Compare(id[:], o[:]) }
