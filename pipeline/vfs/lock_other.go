//go:build !unix

package vfs

import (
	"errors"
	"os"
)

// tryLock: without flock there is no lock that a dead process gives up, so none is pretended.
func tryLock(f *os.File) error {
	return &os.PathError{Op: "flock", Path: f.Name(), Err: errors.ErrUnsupported}
}
