package amd64

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// BLAKE3AVX2 writes the kernel for 8 lanes in 16 YMM registers. The state takes
// all of them, so the message is transposed to memory before the rounds, and
// state word 8 is in memory except where it is being used: its register is the
// scratch that a rotation without VPRORD needs.
func BLAKE3AVX2() ([]byte, error) {
	k := newKernel()
	k.vex = true
	k.iv = k.words("blake3iv256", iv...)
	sixtyFour := k.words("blake3len256", 64)
	var turn [2]operand.Mem // byte shuffles that rotate each word right by 16 and by 8
	turn[0] = k.quads("blake3ror16", 0x0504070601000302, 0x0d0c0f0e09080b0a, 0x0504070601000302, 0x0d0c0f0e09080b0a)
	turn[1] = k.quads("blake3ror8", 0x0407060500030201, 0x0c0f0e0d080b0a09, 0x0407060500030201, 0x0c0f0e0d080b0a09)
	k.avx2(sixtyFour, turn)
	return k.file()
}

func (k *kernel) avx2(sixtyFour operand.Mem, turn [2]operand.Mem) {
	const size = 32
	k.begin("hash8AVX2", 8, 16*size+2*size+8*size+8*8+size)
	var v [16]reg.VecPhysical
	for i := range v {
		v[i] = zmm[i].AsY().(reg.VecPhysical)
	}
	buf := k.local(16 * size)
	spill := k.at(k.local(size))
	mask := k.at(k.local(size))
	results := k.local(8 * size)
	k.ptrs = k.local(8 * 8)
	flags := k.at(k.local(size))

	for i := 0; i < 8; i += 4 {
		k.VMOVDQU(field(offIn+8*i), v[15])
		k.VMOVDQU(v[15], k.row(i))
	}
	for i := range 8 {
		k.VPBROADCASTD(k.iv.Offset(4*i), v[i])
	}
	k.LEAQ(k.at(buf), curReg)
	k.XORL(reg.ESI, reg.ESI)
	k.XORL(blockReg, blockReg)
	k.MOVL(field(offFlags), flagsReg)
	k.ORL(field(offFirstFlags), flagsReg)

	k.Label(k.label("block"))
	k.VMOVD(blockReg, v[15].AsX())
	k.VPBROADCASTD(v[15].AsX(), v[15])
	k.VPCMPEQD(field(offLast), v[15], v[15])
	k.VMOVDQU(v[15], mask)
	k.VMOVMSKPS(v[15], endsReg)
	k.CMPL(field(offRagged), operand.Imm(0))
	k.JEQ(k.to("load"))
	k.MOVL(endsReg, reg.EAX)
	k.redirect("tail", reg.EAX)
	k.Comment("Lanes that have ended repeat lane 0, and follow it to its tail for the last block.")
	k.CMPL(blockReg, field(offLast))
	k.JNE(k.to("load"))
	k.MOVL(endsReg, reg.EAX)
	k.XORL(operand.U32(0xff), reg.EAX)
	k.park("follow", reg.EAX)
	k.Label(k.label("load"))
	for _, f := range k.load8(v[8:], curReg) {
		f()
	}
	k.MOVL(flagsReg, flags)
	k.VPBROADCASTD(sixtyFour, v[14])
	k.VMOVDQU(mask, v[15])
	k.VPBLENDVB(v[15], field(offLastLen), v[14], v[14])
	k.VPAND(field(offLastFlags), v[15], v[15])
	k.VPBROADCASTD(flags, v[8])
	k.VPOR(v[8], v[15], v[15])
	k.MOVL(field(offFlags), flagsReg)
	for i := range 4 {
		k.VPBROADCASTD(k.iv.Offset(4*i), v[8+i])
	}
	k.VMOVDQU(v[8], spill)
	k.VMOVDQU(field(offCtr), v[12])
	k.VPBROADCASTD(field(offCtrHi), v[13])
	for n, s := range schedule {
		k.Commentf("Round %d.", n+1)
		k.halfAVX2(v, fourOf(0), s[:8], spill, turn)
		k.halfAVX2(v, fourOf(1), s[8:], spill, turn)
	}
	k.VPXOR(spill, v[0], v[0])
	for i := 1; i < 8; i++ {
		k.VPXOR(v[i+8], v[i], v[i])
	}
	k.TESTL(endsReg, endsReg)
	k.JZ(k.to("next"))
	k.CMPL(endsReg, operand.U32(0xff))
	k.JEQ(k.to("store"))
	k.Comment("Some lanes end here: put their results aside.")
	k.VMOVDQU(mask, v[15])
	for i := range 8 {
		k.VPMASKMOVD(v[i], v[15], k.at(results+size*i))
	}
	k.CMPL(blockReg, field(offLast))
	k.JEQ(k.to("reload"))
	k.park("park", endsReg)
	k.Label(k.label("next"))
	k.INCL(blockReg)
	k.ADDQ(operand.Imm(64), offReg)
	k.JMP(k.to("block"))

	k.Label(k.label("reload"))
	for i := range 8 {
		k.VMOVDQU(k.at(results+size*i), v[i])
	}
	k.Label(k.label("store"))
	k.store8(v[:])
	k.VZEROUPPER()
	k.RET()
}

// halfAVX2 is four G side by side; see rounds512. Word 8 is v[8] from its sum
// until the words that need it have been made, and in spill otherwise.
func (k *kernel) halfAVX2(v [16]reg.VecPhysical, q four, m []int, spill operand.Mem, turn [2]operand.Mem) {
	const scratch = 8
	for step, rot := range []uint64{12, 7} {
		for i := range 4 {
			k.VPADDD(operand.Mem{Base: curReg, Disp: 32 * m[2*i+step]}, v[q.a[i]], v[q.a[i]])
		}
		for i := range 4 {
			k.VPADDD(v[q.b[i]], v[q.a[i]], v[q.a[i]])
		}
		for i := range 4 {
			k.VPXOR(v[q.a[i]], v[q.d[i]], v[q.d[i]])
		}
		for i := range 4 {
			k.VPSHUFB(turn[step], v[q.d[i]], v[q.d[i]])
		}
		for i := range 4 {
			if q.c[i] == scratch {
				k.VPADDD(spill, v[q.d[i]], v[scratch])
			} else {
				k.VPADDD(v[q.d[i]], v[q.c[i]], v[q.c[i]])
			}
		}
		for i := range 4 {
			k.VPXOR(v[q.c[i]], v[q.b[i]], v[q.b[i]])
		}
		k.VMOVDQU(v[scratch], spill)
		for i := range 4 {
			b := v[q.b[i]]
			k.VPSRLD(operand.U8(rot), b, v[scratch])
			k.VPSLLD(operand.U8(32-rot), b, b)
			k.VPOR(v[scratch], b, b)
		}
	}
}
