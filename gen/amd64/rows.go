package amd64

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets into type rowBlocks of internal/asm. Stubs writes them next to the declarations.
const (
	offDst     = 0
	offSrc     = 8
	offIncs    = 16
	offBlocks  = 24
	offOrdered = 32
	offCount   = 40
	offLo      = 104
	offHi      = 168
)

// Registers of the row encoders: the row being written, the rows, their units, and the blocks left.
var (
	dstReg    = reg.R8
	srcReg    = reg.RSI
	incsReg   = reg.RDX
	blocksReg = reg.RCX
)

// RowsAVX512 writes two kernels that encode rows as package canon does, eight at a time: of encoded keys, and of namespaces and ids.
//
// Where a row begins depends on the widths of all before, so the rows themselves are stored one after the other. All else is
// done for eight at once, in qwords: the widths, the first byte and the bytes of every integer, the check that the rows ascend, the
// sums. A row is stored at full length, and the next one overwrites what is too much.
func RowsAVX512() ([]byte, error) {
	k := newKernel()
	c := rowConstants{
		swap:  k.quads("rowsSwap", 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f),
		words: k.quads("rowsConstants", 23, 255, 65535, 1<<32-1, 1, 2, 3, 5, 9, 24, 25, 26, 27, 56, 48, 32, 0x83, 0x50, 8),
	}
	for w, idx := range [3][2][8]uint64{
		{{0, 3, 6, 9, 12, 15, 0, 0}, {0, 1, 2, 3, 4, 5, 10, 13}},
		{{1, 4, 7, 10, 13, 0, 0, 0}, {0, 1, 2, 3, 4, 8, 11, 14}},
		{{2, 5, 8, 11, 14, 0, 0, 0}, {0, 1, 2, 3, 4, 9, 12, 15}},
	} {
		for i := range idx {
			c.pick[w][i] = k.quads("rowsPick"+string(rune('a'+2*w+i)), idx[i][:]...)
		}
	}
	c.outer = k.quads("rowsOuter", 0, 4, 8, 12, 3, 7, 11, 15)
	c.inner = k.quads("rowsInner", 0, 4, 8, 12, 1, 5, 9, 13)
	k.encodeKeys(&c)
	k.encodeRows(&c)
	return k.file()
}

type rowConstants struct {
	swap, words, outer, inner operand.Mem
	pick                      [3][2]operand.Mem // qword w of eight keys of three: of the first two vectors, then of the third as well
}

// Vector registers: 0 to 9 are scratch, these stay.
var (
	countReg, loReg, hiReg = zmm[10], zmm[11], zmm[12]
	before                 = zmm[13:16] // the words of the eight keys before
	above                  = zmm[16:20] // what the widths beyond 1 are above of
	wide                   = zmm[20:25] // the widths
	code                   = zmm[25:29] // first bytes of the widths beyond 1
	shift                  = zmm[29:32] // to the top of a qword, of the widths 2, 3 and 5
)

func (k *kernel) beginRows(name string, c *rowConstants) {
	k.begin(name, 16, 5*64)
	k.MOVQ(field(offDst), dstReg)
	k.MOVQ(field(offSrc), srcReg)
	k.MOVQ(field(offBlocks), blocksReg)
	for i, r := range zmm[16:] {
		k.VPBROADCASTQ(c.words.Offset(8*i), r)
	}
	for _, r := range zmm[10:16] {
		k.VPXORQ(r, r, r)
	}
	k.Comment("The first row is compared with nothing.")
	k.KXNORB(reg.K7, reg.K7, reg.K7)
	k.MOVL(operand.U32(1), reg.EAX)
	k.KMOVB(reg.EAX, reg.K6)
}

func (k *kernel) endRows() {
	k.DECQ(blocksReg)
	k.JNZ(k.to("block"))
	k.MOVQ(dstReg, field(offDst))
	k.KMOVB(reg.K7, reg.EAX)
	k.MOVQ(reg.RAX, field(offOrdered))
	k.VMOVDQU64(countReg, field(offCount))
	k.VMOVDQU64(loReg, field(offLo))
	k.VMOVDQU64(hiReg, field(offHi))
	k.VZEROUPPER()
	k.RET()
}

// integer takes v apart: into the first byte t, the width w and the bytes behind, most significant first, x. n is the number of widths.
func (k *kernel) integer(c *rowConstants, v, t, w, x reg.VecPhysical, n int) {
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}[:n-1]
	for i, m := range masks {
		k.VPCMPUQ(operand.U8(6), above[i], v, m)
	}
	k.VMOVDQA64(wide[0], w)
	k.VMOVDQA64(v, t)
	k.VMOVDQA64(shift[0], x)
	for i, m := range masks {
		k.VMOVDQA64(wide[i+1], m, w)
		k.VMOVDQA64(code[i], m, t)
		switch i {
		case 1, 2:
			k.VMOVDQA64(shift[i], m, x)
		case 3:
			k.VPXORQ(x, x, m, x)
		}
	}
	k.VPSLLVQ(x, v, x)
	k.VPSHUFB(c.swap, x, x)
}

// tally adds the units v to the sums, one being 1 in every lane, and leaves in K5 which rows have any. It uses K1.
func (k *kernel) tally(v, one reg.VecPhysical) {
	k.VPTESTMQ(v, v, reg.K5)
	k.VPADDQ(one, countReg, reg.K5, countReg)
	k.VPADDQ(v, loReg, loReg)
	k.VPCMPUQ(operand.U8(1), v, loReg, reg.K1)
	k.VPADDQ(one, hiReg, reg.K1, hiReg)
}

// ascend notes in K7 whether the numbers of three words in cur ascend, also above the ones before, which they become.
func (k *kernel) ascend(cur []reg.VecPhysical, tmp reg.VecPhysical) {
	for w := 2; w >= 0; w-- {
		k.VALIGNQ(operand.U8(7), before[w], cur[w], tmp)
		if w < 2 {
			k.VPCMPUQ(operand.U8(0), cur[w], tmp, reg.K2, reg.K2)
		}
		k.VPCMPUQ(operand.U8(1), cur[w], tmp, reg.K1)
		if w < 2 {
			k.KORB(reg.K1, reg.K2, reg.K2)
		} else {
			k.KMOVB(reg.K1, reg.K2)
		}
		k.VMOVDQA64(cur[w], before[w])
	}
	k.KORB(reg.K6, reg.K2, reg.K2)
	k.KXORB(reg.K6, reg.K6, reg.K6)
	k.KANDB(reg.K2, reg.K7, reg.K7)
}

func (k *kernel) encodeKeys(c *rowConstants) {
	k.beginRows("encodeKeysAVX512", c)
	k.MOVQ(field(offIncs), incsReg)
	k.Label(k.label("block"))
	x, w := zmm[:3], zmm[3:6]
	for i := range x {
		k.VMOVDQU64(operand.Mem{Base: srcReg, Disp: 64 * i}, x[i])
	}
	for i, r := range []reg.VecPhysical{zmm[6], zmm[7], zmm[8]} {
		k.VMOVDQU64(c.pick[i][0], r)
		k.VPERMI2Q(x[1], x[0], r)
		k.VMOVDQU64(c.pick[i][1], w[i])
		k.VPERMI2Q(x[2], r, w[i])
	}
	size := zmm[9]
	k.VPSRLQ(operand.U8(56), w[2], size)
	for i := range w {
		k.VPSHUFB(c.swap, w[i], w[i])
	}
	k.ascend(w, zmm[0])
	v, t, n, bytes := zmm[0], zmm[1], zmm[2], zmm[3]
	k.VMOVDQU64(operand.Mem{Base: incsReg}, v)
	k.tally(v, wide[0])
	k.integer(c, v, t, n, bytes, 5)
	k.VPSLLQ(operand.U8(8), bytes, v)
	k.VPORQ(t, v, v)
	k.VPADDQ_Z(size, n, reg.K5, n)
	for i, r := range []reg.VecPhysical{v, bytes, size, n} {
		k.VMOVDQU64(r, k.at(64*i))
	}
	k.ADDQ(operand.Imm(64), incsReg)
	for i := range 8 {
		k.VMOVDQU(operand.Mem{Base: srcReg, Disp: 24 * i}, reg.Y0)
		k.MOVQ(k.at(128+8*i), reg.RAX)
		k.MOVQ(k.at(8*i), reg.RBX)
		k.MOVB(k.at(64+8*i+7), reg.R10B)
		k.VMOVDQU(reg.Y0, operand.Mem{Base: dstReg})
		k.MOVQ(reg.RBX, operand.Mem{Base: dstReg, Index: reg.RAX, Scale: 1})
		k.MOVB(reg.R10B, operand.Mem{Base: dstReg, Index: reg.RAX, Scale: 1, Disp: 8})
		k.ADDQ(k.at(192+8*i), dstReg)
	}
	k.ADDQ(operand.U32(192), srcReg)
	k.endRows()
}

func (k *kernel) encodeRows(c *rowConstants) {
	k.beginRows("encodeRowsAVX512", c)
	k.Label(k.label("block"))
	outer, inner, idx := zmm[:2], zmm[2:4], zmm[4]
	// Two rows a vector: words 0 and 3, and, four bytes further on, both halves of the id.
	for h := range 2 {
		for j, half := range []reg.VecPhysical{outer[h], inner[h]} {
			k.VMOVDQU64(operand.Mem{Base: srcReg, Disp: 128*h + 4*j}, half)
			k.VMOVDQU64([]operand.Mem{c.outer, c.inner}[j], idx)
			k.VPERMT2Q(operand.Mem{Base: srcReg, Disp: 128*h + 64 + 4*j}, idx, half)
		}
	}
	ns, v, id1, id2 := zmm[5], zmm[6], zmm[7], zmm[8]
	k.VINSERTI64X4(operand.U8(1), outer[1].AsY(), outer[0], ns)
	k.VSHUFI64X2(operand.U8(0xee), outer[1], outer[0], v)
	k.VINSERTI64X4(operand.U8(1), inner[1].AsY(), inner[0], id1)
	k.VSHUFI64X2(operand.U8(0xee), inner[1], inner[0], id2)
	k.VPANDQ(above[3], ns, ns)
	k.VPSHUFB(c.swap, id1, id1)
	k.VPSHUFB(c.swap, id2, id2)
	k.ascend([]reg.VecPhysical{ns, id1, id2}, zmm[0])

	t, n, bytes, at := zmm[0], zmm[1], zmm[2], zmm[3]
	k.integer(c, ns, t, n, bytes, 4)
	k.VPSLLQ_Z(operand.U8(16), bytes, reg.K1, bytes)
	k.VPSLLQ(operand.U8(8), t, t)
	k.VPORQ(bytes, t, t)
	k.VPBROADCASTQ(c.words.Offset(8*16), zmm[4])
	k.VPORQ(zmm[4], t, t)
	k.VPADDQ(wide[0], n, at)
	k.VPSLLQ(operand.U8(3), at, n)
	k.VPBROADCASTQ(c.words.Offset(8*17), zmm[4])
	k.VPSLLVQ(n, zmm[4], n)
	k.VPORQ(n, t, t)
	k.VPADDQ(wide[0], at, at)
	k.VMOVDQU64(t, k.at(0))
	k.VMOVDQU64(at, k.at(64))
	k.tally(v, wide[0])
	k.integer(c, v, t, n, bytes, 5)
	k.VPSLLQ(operand.U8(8), bytes, v)
	k.VPORQ(t, v, v)
	k.VPADDQ(at, n, n)
	k.VPBROADCASTQ(c.words.Offset(8*18), zmm[4])
	k.VPADDQ(zmm[4], n, n)
	k.VPADDQ_Z(zmm[4], n, reg.K5, n)
	for i, r := range []reg.VecPhysical{v, bytes, n} {
		k.VMOVDQU64(r, k.at(128+64*i))
	}
	for i := range 8 {
		k.MOVQ(k.at(8*i), reg.R10)
		k.MOVQ(k.at(64+8*i), reg.RAX)
		k.VMOVDQU(operand.Mem{Base: srcReg, Disp: 32*i + 4}, reg.X0)
		k.MOVQ(k.at(128+8*i), reg.RBX)
		k.MOVB(k.at(192+8*i+7), reg.R11B)
		k.MOVQ(reg.R10, operand.Mem{Base: dstReg})
		k.VMOVDQU(reg.X0, operand.Mem{Base: dstReg, Index: reg.RAX, Scale: 1})
		k.MOVQ(reg.RBX, operand.Mem{Base: dstReg, Index: reg.RAX, Scale: 1, Disp: 16})
		k.MOVB(reg.R11B, operand.Mem{Base: dstReg, Index: reg.RAX, Scale: 1, Disp: 24})
		k.ADDQ(k.at(256+8*i), dstReg)
	}
	k.ADDQ(operand.U32(256), srcReg)
	k.endRows()
}
