package canon

import "encoding/hex"

// Digest is the BLAKE3-256 of a slice's bytes.
type Digest [32]byte

// String returns b3: and 64 lower-case hexadecimal digits.
func (d Digest) String() string { return "b3:" + hex.EncodeToString(d[:]) }
