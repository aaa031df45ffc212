package canon

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"

	"github.com/ron-accounting/ron-accounting/internal/asm"
)

// Digest is the BLAKE3-256 of a slice's bytes.
type Digest [32]byte

// cidPrefix is what stands before the digest in a CID: version 1, dag-cbor (0x71), blake3 (0x1e), 32 bytes.
const cidPrefix = "\x01\x71\x1e\x20"

// cidBase is multibase 'b': RFC 4648 base32 in lower case without padding.
var cidBase = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Sum returns the BLAKE3-256 of b.
func Sum(b []byte) Digest { return asm.Sum256(b) }

// SumMany sets dst[i] to the BLAKE3-256 of msgs[i]: the chunks of many short messages share the lanes of one kernel, so it
// is faster than Sum in a loop. dst must be at least as long as msgs. It does not allocate.
func SumMany(dst []Digest, msgs [][]byte) { asm.SumMany(dst, msgs) }

// String returns b3: and 64 lower-case hexadecimal digits.
func (d Digest) String() string { return "b3:" + hex.EncodeToString(d[:]) }

// CID returns the CIDv1 (dag-cbor, blake3) of the slice in base32: bafyr4i… .
func (d Digest) CID() string {
	var b [len(cidPrefix) + len(d)]byte
	copy(b[:], cidPrefix)
	copy(b[len(cidPrefix):], d[:])
	return "b" + cidBase.EncodeToString(b[:])
}

// ParseDigest reads what Digest.String writes; hexadecimal digits in either case.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) != 67 || s[:3] != "b3:" {
		return Digest{}, fmt.Errorf("accounting/canon: digest %.80q: got %d characters, want b3: and 64 hexadecimal digits", s, len(s))
	}
	if _, err := hex.Decode(d[:], []byte(s[3:])); err != nil {
		return Digest{}, fmt.Errorf("accounting/canon: digest %.80q: want b3: and 64 hexadecimal digits: %w", s, err)
	}
	return d, nil
}

// ParseCID reads what Digest.CID writes: no other version, codec, hash, base or case.
func ParseCID(s string) (d Digest, err error) {
	b, err := cidBase.DecodeString(s[min(1, len(s)):])
	if err != nil {
		return Digest{}, fmt.Errorf("accounting/canon: CID %.80q: want b and base32: %w", s, err)
	}
	if len(b) != len(cidPrefix)+len(d) || string(b[:len(cidPrefix)]) != cidPrefix {
		return Digest{}, fmt.Errorf("accounting/canon: CID %.80q: got %d bytes beginning %x, want %d beginning %x", s, len(b), b[:min(4, len(b))], len(cidPrefix)+len(d), cidPrefix)
	}
	copy(d[:], b[len(cidPrefix):])
	if d.CID() != s { // other multibase prefix, or bits set behind the last byte
		return Digest{}, fmt.Errorf("accounting/canon: CID %.80q: want its canonical form %s", s, d.CID())
	}
	return d, nil
}
