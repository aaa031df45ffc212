//go:build !linux

package vfs

import (
	"errors"
	"os"
)

func preallocate(*os.File, int64) error { return errors.ErrUnsupported }

func datasync(f *os.File) error { return f.Sync() }

func statFS(string) (Info, error) { return Info{Free: 1 << 62, Total: 1 << 62}, nil }

// iovecs is empty where there is no positioned vectored write.
type iovecs struct{}

func (*iovecs) writev(f *os.File, bufs [][]byte, off int64) (int64, error) {
	return writeEach(f, bufs, off)
}
