package main

import (
	"github.com/ron-accounting/ron-accounting/gen/amd64"
	"github.com/ron-accounting/ron-accounting/gen/arm64"
)

// Generator returns the whole text of one generated file. It must be a pure
// function of its own source: not of the host, the date, the arguments or the
// working directory.
type Generator func() ([]byte, error)

// outputs is the one table of everything that is generated: the path of the
// file, from the repository's root with forward slashes, and its generator.
// `go run .` writes the files; the test regenerates and compares them.
var outputs = []struct {
	path string
	gen  Generator
}{
	{"internal/asm/zblake3_avx512_amd64.s", amd64.BLAKE3AVX512},
	{"internal/asm/zrows_avx512_amd64.s", amd64.RowsAVX512},
	{"internal/asm/zrows_vbmi2_amd64.s", amd64.RowsVBMI2},
	{"internal/asm/zblake3_avx2_amd64.s", amd64.BLAKE3AVX2},
	{"internal/asm/zscan_avx2_amd64.s", amd64.ScanAVX2},
	{"internal/asm/zblake3_neon_arm64.s", arm64.BLAKE3NEON},
	{"internal/asm/zstubs_arm64.go", arm64.Stubs},
	{"internal/asm/zstubs_amd64.go", amd64.Stubs},
}
