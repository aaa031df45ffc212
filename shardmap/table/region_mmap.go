//go:build (linux || darwin || freebsd) && (amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x) && !race && !purego

package table

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// Anonymous is memory outside the Go heap: it does not count towards the collector's pace, is given back at once, and
// is in huge pages where the kernel has them. Pages not yet written cost nothing.
type Anonymous struct{}

// Alloc implements Region.
func (Anonymous) Alloc(n int) ([]byte, func(), error) {
	size := n
	if n >= hugePage/2 { // whole huge pages, so that the tail of the counters is in one too
		size = (n + hugePage - 1) &^ (hugePage - 1)
	}
	// One huge page more, so that the memory can begin on a huge page.
	slack := 0
	if size >= hugePage {
		slack = hugePage
	}
	mem, err := unix.Mmap(-1, 0, size+slack, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("mmap %d bytes: %w", size+slack, err)
	}
	off := 0
	if slack > 0 {
		off = -int(address(mem)) & (hugePage - 1)
		adviseHuge(mem[off : off+size])
	}
	return mem[off : off+n : off+n], func() { _ = unix.Munmap(mem) }, nil
}

// DefaultRegion returns the region used where Config names none.
func DefaultRegion() Region { return Anonymous{} }
