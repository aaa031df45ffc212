//go:build officialc && cgo

package peers

// #cgo LDFLAGS: -lblake3
// #include <blake3.h>
import "C"

import "unsafe"

// OfficialC is BLAKE3-256 by the authors' C and assembler library, linked where the build says -tags officialc.
var OfficialC = func(b []byte) (d [32]byte) {
	var h C.blake3_hasher
	C.blake3_hasher_init(&h)
	C.blake3_hasher_update(&h, unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b)))
	C.blake3_hasher_finalize(&h, (*C.uint8_t)(&d[0]), 32)
	return d
}
