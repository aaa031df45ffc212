//go:build unix

package ingress

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// mapFile maps progressSize bytes of f, shared; nil where that can't be had. The file is made that long, with its blocks, before: a store can't fault.
func mapFile(f *os.File) []byte {
	if _, err := f.WriteAt(make([]byte, progressSize-24), 24); err != nil {
		return nil
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, progressSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return b
}

func unmapFile(b []byte) {
	if b != nil {
		_ = syscall.Munmap(b)
	}
}

// storeWord stores w in one piece, little-endian; b begins at a multiple of 8.
func storeWord(b []byte, w uint64) {
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], w)
	atomic.StoreUint64((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), binary.NativeEndian.Uint64(le[:]))
}
