package cpufeat

import (
	"fmt"
	"strings"
)

// Path names a family of kernels. Its values are ordered: a larger one is
// preferred where several are available.
type Path uint8

const (
	Generic Path = iota // pure Go, available everywhere, the reference
	SSE41               // amd64 through github.com/zeebo/blake3
	NEON                // arm64, 4 lanes
	AVX2                // amd64, 8 lanes
	AVX512              // amd64, 16 lanes, 8 where fewer suffice
	numPaths
)

var pathNames = [numPaths]string{"generic", "sse41", "neon", "avx2", "avx512"}

// String returns the name that the environment variables use.
func (p Path) String() string {
	if p < numPaths {
		return pathNames[p]
	}
	return fmt.Sprintf("path(%d)", uint8(p))
}

// ParsePath is the inverse of String; case and surrounding space are ignored.
func ParsePath(s string) (Path, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	for p, n := range pathNames {
		if n == t {
			return Path(p), nil
		}
	}
	return Generic, fmt.Errorf("accounting/cpufeat: unknown CPU path %q: want one of %s", s, strings.Join(pathNames[:], ", "))
}
