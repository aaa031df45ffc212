//go:build !(gc && (amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || s390x) && !race && !purego)

package table

// The record path without a link into the runtime: cells are added to atomically, and sections are counted so that a
// grace period can wait for them (quiesce). Counts are striped; two phases keep a stream of new sections from starving the wait.

import (
	"math/rand/v2"
	"sync/atomic"
)

// Pinned tells which of the two record paths was built: true, a column a P and plain adds; false, atomics.
const Pinned = false

// Pin begins a section that loads the generation and counts in it.
func (c *Core) Pin() int {
	s := int(rand.Uint32() % readerStripes)
	t := s*2 + int(atomic.LoadUint32(&c.phase)&1)
	c.readers[t].n.Add(1)
	return t
}

// Unpin ends the section.
func (c *Core) Unpin(t int) { c.readers[t].n.Add(-1) }
