package wal

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/ron-accounting/ron-accounting/canon"
)

// newID returns a fresh writer id.
func newID() (id canon.ID) {
	rand.Read(id[:])
	return id
}

// fetchV1 refuses entries of format version 1: nothing opens such a segment yet.
func fetchV1(m *move) (meta, []byte, error) {
	return meta{}, nil, fmt.Errorf("%w: segment %d is of format version 1, which is not read yet", ErrWALCorrupt, m.n.seg.num)
}

// kernelBootID returns the id that the kernel drew at boot; zeros where it tells none.
func kernelBootID() [16]byte {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return [16]byte{}
	}
	id, err := canon.ParseID(strings.TrimSpace(string(b)))
	if err != nil {
		return [16]byte{}
	}
	return id
}
