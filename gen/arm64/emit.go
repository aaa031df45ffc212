// Package arm64 generates the BLAKE3 kernel of internal/asm for NEON: a small
// text emitter, since avo writes x86 only. The formula precedes its code.
package arm64

import (
	"bytes"
	"fmt"
)

// Name is what the header of generated files says wrote them.
const Name = "ron-accounting/gen"

// emitter collects lines of Go assembly.
type emitter struct{ bytes.Buffer }

func (e *emitter) op(format string, args ...any) {
	e.WriteByte('\t')
	fmt.Fprintf(e, format, args...)
	e.WriteByte('\n')
}

func (e *emitter) comment(s string) { fmt.Fprintf(e, "\t// %s\n", s) }

func (e *emitter) label(s string) { fmt.Fprintf(e, "\n%s:\n", s) }

// Go writes the operands of vector instructions last to first: op3 is
// d = n op m, as the formulas have it.
func (e *emitter) op3(name, arrangement string, d, n, m int) {
	e.op("%s V%d.%s, V%d.%s, V%d.%s", name, m, arrangement, n, arrangement, d, arrangement)
}

func (e *emitter) add(d, n, m int) { e.op3("VADD", "S4", d, n, m) }
func (e *emitter) xor(d, n, m int) { e.op3("VEOR", "B16", d, n, m) }

// ror: d = n >>> bits, where d is not n.
func (e *emitter) ror(d, n, bits int) {
	e.op("VSHL $%d, V%d.S4, V%d.S4", 32-bits, n, d)
	e.op("VSRI $%d, V%d.S4, V%d.S4", bits, n, d)
}

func (e *emitter) load(off int, base string, d int)  { e.op("FMOVQ %d(%s), F%d", off, base, d) }
func (e *emitter) store(s int, off int, base string) { e.op("FMOVQ F%d, %d(%s)", s, off, base) }

// square transposes the 4x4 words in registers x, with t as scratch.
func (e *emitter) square(x, t [4]int) {
	e.op3("VTRN1", "S4", t[0], x[0], x[1]) // a0 b0 a2 b2
	e.op3("VTRN2", "S4", t[1], x[0], x[1]) // a1 b1 a3 b3
	e.op3("VTRN1", "S4", t[2], x[2], x[3])
	e.op3("VTRN2", "S4", t[3], x[2], x[3])
	e.op3("VTRN1", "D2", x[0], t[0], t[2]) // a0 b0 c0 d0
	e.op3("VTRN1", "D2", x[1], t[1], t[3])
	e.op3("VTRN2", "D2", x[2], t[0], t[2])
	e.op3("VTRN2", "D2", x[3], t[1], t[3])
}
