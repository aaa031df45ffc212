//go:build gc && (amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || s390x) && !race && !purego

package table

// The one file with a link into the runtime. procPin forbids the scheduler to move or stop the goroutine, so a P's
// column of cells has one writer; a stop of the world waits for it, so a stop begun after a pointer was swapped is a
// grace period for all that loaded the old one inside the pin. Where it can't link (another compiler or platform,
// -race, -tags purego) pin_atomic.go is used instead. The empty pin.s lets the declarations have no body.

import _ "unsafe" // go:linkname

// Pinned tells which of the two record paths was built: true, a column a P and plain adds; false, atomics.
const Pinned = true

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// Pin begins a section that loads the generation and counts in it. Inside: no call that allocates, blocks, panics or
// enters the kernel. It returns what Unpin and Gen.Count need.
func (c *Core) Pin() int { return procPin() }

// Unpin ends the section.
func (c *Core) Unpin(int) { procUnpin() }
