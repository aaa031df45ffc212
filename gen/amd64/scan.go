package amd64

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets into type scanBlocks of internal/asm. Stubs writes them next to the declarations.
const (
	offCells   = 0
	offStride  = 8
	offCols    = 16
	offBase    = 24
	offNext    = 32
	offOpen    = 40
	offSeen    = 48
	offPresent = 56
	offWords   = 64
	offNow     = 72
)

// Offsets into type gatherBlocks.
const (
	offTo      = 0
	offFrom    = 8
	offRows    = 16
	offSixteen = 24
	offLimit   = 32
	offZeros   = 40
)

// beginFlat is begin for a kernel that needs no frame.
func (k *kernel) beginFlat(name string) {
	k.name = name
	k.Function(name)
	k.Attributes(attr.NOSPLIT)
	k.SignatureExpr("func(l *byte)")
	k.MOVQ(operand.NewParamAddr("l", 0), lanesReg)
}

// Registers of the scans: bases of the arrays, the byte offset of the block's first slot in those of words, and the block's bits.
var (
	cellsReg, colsReg   = reg.R8, reg.R9
	baseReg, writtenReg = reg.R10, reg.R11
	openReg, seenReg    = reg.R12, reg.R13
	presentReg          = reg.RSI
	wordsReg            = reg.RDX
	slotReg             = reg.RCX
	bitsReg             = reg.RAX
	nibblesReg          = reg.R14
)

func slot(base reg.Register, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: slotReg, Scale: 1, Disp: disp}
}

// sumColumns leaves in v the sums over all columns of the slots from disp bytes on.
func (k *kernel) sumColumns(label string, v []reg.VecPhysical, disp int) {
	k.LEAQ(slot(cellsReg, disp), reg.RBX)
	for i, r := range v {
		k.VMOVDQU(operand.Mem{Base: reg.RBX, Disp: 32 * i}, r)
	}
	k.MOVQ(field(offCols), colsReg)
	k.DECQ(colsReg)
	k.JZ(k.to(label + "_summed"))
	k.Label(k.label(label))
	k.ADDQ(field(offStride), reg.RBX)
	for i, r := range v {
		k.VPADDQ(operand.Mem{Base: reg.RBX, Disp: 32 * i}, r, r)
	}
	k.DECQ(colsReg)
	k.JNZ(k.to(label))
	k.Label(k.label(label + "_summed"))
}

// ScanAVX2 writes the kernel that reads the counters of 64 slots at a time, as internal/asm's Scan does one by one, and the kernel that gathers
// words by their numbers. Both wait for loads and stores: with 512-bit registers the first takes as long on Zen 4.
func ScanAVX2() ([]byte, error) {
	k := newKernel()
	nibbles := make([]uint64, 0, 64)
	for n := range 16 {
		for bit := range 4 {
			nibbles = append(nibbles, -uint64(n>>bit&1))
		}
	}
	nibble := k.quads("scanNibbles", nibbles...)
	order := k.words("scanOrder", 0, 4, 1, 5, 2, 6, 3, 7)

	k.beginFlat("scanCellsAVX2")
	for _, f := range []struct {
		off int
		r   reg.GPPhysical
	}{
		{offCells, cellsReg}, {offBase, baseReg}, {offNext, writtenReg}, {offOpen, openReg}, {offSeen, seenReg}, {offPresent, presentReg}, {offWords, wordsReg},
	} {
		k.MOVQ(field(f.off), f.r)
	}
	k.XORQ(slotReg, slotReg)
	ymm := func(i int) reg.VecPhysical { return zmm[i].AsY().(reg.VecPhysical) }
	v := []reg.VecPhysical{ymm(0), ymm(1), ymm(2), ymm(3)}
	now, zero, sort := ymm(15), ymm(14), ymm(13)
	k.VPBROADCASTW(field(offNow), now)
	k.VPXOR(zero, zero, zero)
	k.VMOVDQU(order, sort)
	k.LEAQ(nibble, nibblesReg)

	k.Label(k.label("word"))
	k.MOVQ(operand.Mem{Base: presentReg}, bitsReg)
	k.TESTQ(bitsReg, bitsReg)
	k.JZ(k.to("next"))
	for quarter := range 4 {
		disp := 128 * quarter
		k.sumColumns("column"+string(rune('a'+quarter)), v, disp)
		for i, r := range v {
			at := disp + 32*i
			k.MOVL(reg.EAX, reg.EBX)
			k.ANDL(operand.Imm(15), reg.EBX)
			k.SHRQ(operand.U8(4), bitsReg)
			k.SHLL(operand.U8(5), reg.EBX)
			k.VPAND(operand.Mem{Base: nibblesReg, Index: reg.RBX, Scale: 1}, r, r)
			k.VMOVDQU(r, slot(writtenReg, at))
			k.VPSUBQ(slot(baseReg, at), r, r)
			k.VMOVDQU(r, slot(openReg, at))
			k.VPCMPEQQ(r, zero, r)
		}
		k.Comment("From quadwords to words, in order: all ones where nothing is open.")
		k.VPACKSSDW(v[1], v[0], v[0])
		k.VPACKSSDW(v[3], v[2], v[2])
		k.VPACKSSDW(v[2], v[0], v[0])
		k.VPERMD(v[0], sort, v[0])
		seen := operand.Mem{Base: seenReg, Disp: 32 * quarter}
		k.VPBLENDVB(v[0], seen, now, v[0])
		k.VMOVDQU(v[0], seen)
	}
	k.Label(k.label("next"))
	k.ADDQ(operand.Imm(8), presentReg)
	k.ADDQ(operand.U32(512), slotReg)
	k.SUBQ(operand.I32(-128), seenReg)
	k.DECQ(wordsReg)
	k.JNZ(k.to("word"))
	k.VZEROUPPER()
	k.RET()
	k.gather()
	k.prefetch()
	return k.file()
}

// gather writes the kernel that gathers words by their numbers, sixteen at a time. Loads one by one and inserts: VPGATHERQQ is microcode on
// Zen 4, and slower than that. It stops before sixteen numbers of which one is beyond the limit.
func (k *kernel) gather() {
	k.beginFlat("gatherWordsAVX2")
	to, from, rows, left := reg.R8, reg.R9, reg.RSI, reg.RCX
	for _, f := range []struct {
		off int
		r   reg.GPPhysical
	}{{offTo, to}, {offFrom, from}, {offRows, rows}, {offSixteen, left}} {
		k.MOVQ(field(f.off), f.r)
	}
	limit, zeros, zero := reg.Y15, reg.Y14, reg.Y13
	k.VPBROADCASTD(field(offLimit), limit)
	k.VPXOR(zeros, zeros, zeros)
	k.VPXOR(zero, zero, zero)
	k.Label(k.label("block"))
	k.VPMAXUD(operand.Mem{Base: rows}, limit, reg.Y0)
	k.VPMAXUD(operand.Mem{Base: rows, Disp: 32}, reg.Y0, reg.Y0)
	k.VPCMPEQD(limit, reg.Y0, reg.Y0)
	k.VPMOVMSKB(reg.Y0, reg.EAX)
	k.CMPL(reg.EAX, operand.I32(-1))
	k.JNE(k.to("end"))
	low := []reg.VecPhysical{reg.X0, reg.X1, reg.X2, reg.X3}
	high := []reg.VecPhysical{reg.X4, reg.X5, reg.X6, reg.X7}
	for i := range low {
		for j, x := range []reg.VecPhysical{low[i], high[i]} {
			k.MOVQ(operand.Mem{Base: rows, Disp: 16*i + 8*j}, reg.RAX)
			k.MOVL(reg.EAX, reg.EBX)
			k.SHRQ(operand.U8(32), reg.RAX)
			k.VMOVQ(operand.Mem{Base: from, Index: reg.RBX, Scale: 8}, x)
			k.VMOVHPD(operand.Mem{Base: from, Index: reg.RAX, Scale: 8}, x, x)
		}
		y := low[i].AsY().(reg.VecPhysical)
		k.VINSERTI128(operand.U8(1), high[i], y, y)
		k.VMOVDQU(y, operand.Mem{Base: to, Disp: 32 * i})
		k.VPCMPEQQ(y, zero, y)
		k.VPSUBQ(y, zeros, zeros)
	}
	k.ADDQ(operand.Imm(64), rows)
	k.SUBQ(operand.I32(-128), to)
	k.DECQ(left)
	k.JNZ(k.to("block"))
	k.Label(k.label("end"))
	k.MOVQ(left, field(offSixteen))
	k.VMOVDQU(zeros, field(offZeros))
	k.VZEROUPPER()
	k.RET()
}

// prefetch writes two kernels that ask for memory which is read soon: the lines from an address on, into the second level, and words by their numbers.
// They need no more than any amd64 has.
func (k *kernel) prefetch() {
	from, rows, left := reg.R9, reg.RSI, reg.RCX
	k.beginFlat("prefetchLinesAVX2")
	k.MOVQ(field(offFrom), from)
	k.MOVQ(field(offSixteen), left)
	k.Label(k.label("line"))
	k.PREFETCHT1(operand.Mem{Base: from})
	k.ADDQ(operand.Imm(64), from)
	k.DECQ(left)
	k.JNZ(k.to("line"))
	k.RET()

	k.beginFlat("prefetchWordsAVX2")
	k.MOVQ(field(offFrom), from)
	k.MOVQ(field(offRows), rows)
	k.MOVQ(field(offSixteen), left)
	k.Label(k.label("pair"))
	k.MOVQ(operand.Mem{Base: rows}, reg.RAX)
	k.MOVL(reg.EAX, reg.EBX)
	k.SHRQ(operand.U8(32), reg.RAX)
	k.PREFETCHT0(operand.Mem{Base: from, Index: reg.RBX, Scale: 8})
	k.PREFETCHT0(operand.Mem{Base: from, Index: reg.RAX, Scale: 8})
	k.ADDQ(operand.Imm(8), rows)
	k.DECQ(left)
	k.JNZ(k.to("pair"))
	k.RET()
}
