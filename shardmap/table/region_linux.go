package table

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages; a kernel without them goes on with small ones.
func adviseHuge(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }
