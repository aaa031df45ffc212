package vfs

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIovecs is the kernel's IOV_MAX; a longer vector is EINVAL.
const maxIovecs = 1024

// iovecs is the reused vector of one file. unix.Pwritev builds a new one each call; a commit of thousands of slices would
// allocate for each of them. The pointers live in an *Iovec field that the collector knows, so the buffers stay reachable.
type iovecs struct{ v []unix.Iovec }

func (s *iovecs) writev(f *os.File, bufs [][]byte, off int64) (done int64, err error) {
	fd := f.Fd()
	skip := 0 // bytes of bufs[0] that are written already
	for {
		s.v = s.v[:0]
		for i, b := range bufs {
			if len(s.v) == maxIovecs {
				break
			}
			if i == 0 {
				b = b[skip:]
			}
			if len(b) == 0 {
				continue
			}
			iov := unix.Iovec{Base: unsafe.SliceData(b)}
			iov.SetLen(len(b))
			s.v = append(s.v, iov)
		}
		if len(s.v) == 0 {
			return done, nil
		}
		// The kernel splits the offset into two longs; on 64-bit systems the low one holds it all.
		at := uint64(off + done)
		lo, hi := uintptr(at), uintptr(at>>32)
		if unsafe.Sizeof(lo) == 8 {
			hi = 0
		}
		n, _, errno := unix.Syscall6(unix.SYS_PWRITEV, fd, uintptr(unsafe.Pointer(&s.v[0])), uintptr(len(s.v)), lo, hi, 0)
		if errno != 0 {
			if errno == syscall.EINTR {
				continue
			}
			clear(s.v)
			return done, errno
		}
		if n == 0 {
			clear(s.v)
			return done, io.ErrShortWrite
		}
		done += int64(n)
		skip += int(n)
		for len(bufs) > 0 && skip >= len(bufs[0]) {
			skip -= len(bufs[0])
			bufs = bufs[1:]
		}
		if len(bufs) == 0 {
			clear(s.v)
			return done, nil
		}
	}
}
