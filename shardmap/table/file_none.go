//go:build !(linux && (amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x) && !race && !purego)

package table

import "fmt"

// InitFile refuses: this build can't record into a mapped file.
func (c *Core) InitFile(_ Layout, _ Config, fc FileConfig, _ func(*Packed) (uint32, bool)) (FileReport, error) {
	return FileReport{}, fmt.Errorf("%w: %s: not on this platform, nor under -race or -tags purego", ErrFileSystem, fc.Path)
}

// CloseFile does nothing.
func (c *Core) CloseFile() error { return nil }

// A map without a file never gets here.
func (c *Core) beginFile()         {}
func (c *Core) endFile(*Gen) error { return nil }
