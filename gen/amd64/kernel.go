// Package amd64 generates the BLAKE3 kernels of internal/asm for x86-64.
//
// A kernel hashes up to 16 lanes, each one chunk or one tree node, at once:
// word j of the state of all lanes is one vector register. See internal/asm,
// type lanes, for its argument.
package amd64

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// Name is what the header of generated files says wrote them.
const Name = "ron-accounting/gen"

// Offsets into type lanes of internal/asm on 64-bit architectures. Stubs writes
// them next to the declarations, where the compiler compares them.
const (
	offIn         = 0
	offOut        = 128
	offTail       = 256
	offCtr        = 384
	offLast       = 448
	offLastLen    = 512
	offLastFlags  = 576
	offCtrHi      = 640
	offFirstFlags = 644
	offFlags      = 648
	offRagged     = 652
)

var iv = []uint32{
	0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
	0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
}

// schedule[r][i] is the message word that is i-th in round r: the permutation
// of the specification applied r times.
var schedule = func() (s [7][16]int) {
	perm := [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}
	for i := range s[0] {
		s[0][i] = i
	}
	for r := 1; r < 7; r++ {
		for i := range s[r] {
			s[r][i] = s[r-1][perm[i]]
		}
	}
	return s
}()

// kernel is what the writers share: where things are, and the scalar code
// around the vector code.
type kernel struct {
	*build.Context
	name  string
	lanes int
	size  int         // bytes a vector
	frame int         // bytes of the frame in use, from its aligned base
	ptrs  int         // in the frame, 8 bytes a lane: where the kernel reads it
	iv    operand.Mem // the constants
	vex   bool        // AVX2 encodings only
}

// The general registers have fixed roles.
var (
	lanesReg = reg.RDI // the argument
	frameReg = reg.R9  // the frame, aligned to a vector
	offReg   = reg.RSI // byte offset of the block that is loaded
	blockReg = reg.EDX // number of the block that is hashed
	endsReg  = reg.ECX // mask of the lanes that end in it
	flagsReg = reg.R8L // flags of all lanes in it
	// AX, BX, R10 to R13 are scratch.
)

func newKernel() *kernel {
	c := build.NewContext()
	c.ConstraintExpr("amd64,!purego")
	return &kernel{Context: c}
}

func (k *kernel) begin(name string, lanes, frame int) {
	k.name, k.lanes, k.size, k.frame = name, lanes, 4*lanes, 0
	k.Function(name)
	k.Attributes(0)
	k.SignatureExpr("func(l *byte)")
	local := k.AllocLocal(frame + k.size)
	k.MOVQ(operand.NewParamAddr("l", 0), lanesReg)
	k.Comment("The frame's base, aligned to a vector.")
	k.LEAQ(local.Offset(k.size-1), frameReg)
	k.ANDQ(operand.I32(-k.size), frameReg)
}

// local reserves n bytes of the frame and returns their offset.
func (k *kernel) local(n int) int {
	at := k.frame
	k.frame += n
	return at
}

func (k *kernel) at(off int) operand.Mem { return operand.Mem{Base: frameReg, Disp: off} }

func (k *kernel) row(i int) operand.Mem { return k.at(k.ptrs + 8*i) }

func field(off int) operand.Mem { return operand.Mem{Base: lanesReg, Disp: off} }

func (k *kernel) label(s string) string { return k.name + "_" + s }

func (k *kernel) to(s string) operand.LabelRef { return operand.LabelRef(k.label(s)) }

func (k *kernel) words(name string, words ...uint32) operand.Mem {
	m := k.StaticGlobal(name)
	k.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, w := range words {
		k.AppendDatum(operand.U32(w))
	}
	return m
}

func (k *kernel) quads(name string, quads ...uint64) operand.Mem {
	m := k.StaticGlobal(name)
	k.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, q := range quads {
		k.AppendDatum(operand.U64(q))
	}
	return m
}

// eachBit runs f for every bit of m, whose index is in BX; it destroys m and BX.
func (k *kernel) eachBit(label string, m reg.GPPhysical, f func()) {
	k.TESTL(m, m)
	k.JZ(k.to(label + "_done"))
	k.Label(k.label(label))
	k.BSFL(m, reg.EBX)
	f()
	k.LEAL(operand.Mem{Base: m.As64(), Disp: -1}, reg.EBX)
	k.ANDL(reg.EBX, m)
	k.JNZ(k.to(label))
	k.Label(k.label(label + "_done"))
}

// redirect lets the lanes in m, which it destroys, read the block at offReg from
// their tails, where the driver padded it.
func (k *kernel) redirect(label string, m reg.GPPhysical) {
	k.eachBit(label, m, func() {
		k.MOVQ(operand.Mem{Base: lanesReg, Disp: offTail, Index: reg.RBX, Scale: 8}, reg.R10)
		k.SUBQ(offReg, reg.R10)
		k.MOVQ(reg.R10, operand.Mem{Base: frameReg, Disp: k.ptrs, Index: reg.RBX, Scale: 8})
	})
}

// park lets the lanes in m, which it destroys, repeat lane 0, which ends last,
// so that they read nothing of their own any more.
func (k *kernel) park(label string, m reg.GPPhysical) {
	k.eachBit(label, m, func() {
		k.MOVQ(k.row(0), reg.R10)
		k.MOVQ(reg.R10, operand.Mem{Base: frameReg, Disp: k.ptrs, Index: reg.RBX, Scale: 8})
	})
}

// file assembles and prints what was built.
func (k *kernel) file() ([]byte, error) {
	f, err := k.Result()
	if err != nil {
		return nil, err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return nil, err
	}
	return printer.NewGoAsm(printer.Config{Name: Name, Pkg: "asm"}).Print(f)
}

// mix spreads the instructions of b evenly among those of a.
func mix(a, b []func()) {
	n := 0
	for i, f := range a {
		f()
		for ; n < len(b) && n*len(a) <= i*len(b); n++ {
			b[n]()
		}
	}
	for _, f := range b[n:] {
		f()
	}
}

// four are the operands of four of the specification's G side by side: the
// columns of the state, or its diagonals.
type four struct{ a, b, c, d [4]int }

func fourOf(diagonal int) (f four) {
	for i := range 4 {
		f.a[i] = i
		f.b[i] = 4 + (i+diagonal)%4
		f.c[i] = 8 + (i+2*diagonal)%4
		f.d[i] = 12 + (i+3*diagonal)%4
	}
	return f
}
