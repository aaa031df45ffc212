//go:build !((linux || darwin || freebsd) && (amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x) && !race && !purego)

package table

// DefaultRegion returns the region used where Config names none.
func DefaultRegion() Region { return Heap{} }
