package wal

import (
	"crypto/rand"
	"os"
	"strings"

	"github.com/ron-accounting/ron-accounting/canon"
)

// newID returns a fresh writer id.
func newID() (id canon.ID) {
	rand.Read(id[:])
	return id
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
