package amd64

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// BLAKE3AVX512 writes two kernels that differ in the registers they use: 16
// lanes in ZMM, and 8 lanes in YMM for passes that have no more.
//
// The obvious code keeps the 16 state words and the 16 message words in the 32
// registers. This one reads message words as memory operands instead, and uses
// the registers that are then free to read and transpose the next block in
// between the rounds of this one, in slots of the vector units that the rounds,
// bound by latency or by the two units that rotate, leave idle: about 500 cycles
// a block of 16 lanes on Zen 4 instead of 600.
func BLAKE3AVX512() ([]byte, error) {
	k := newKernel()
	k.iv = k.words("blake3iv512", iv...)
	pick := k.quads("blake3pick512", 0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)
	k.avx512(16, pick)
	k.avx512(8, pick)
	return k.file()
}

var zmm = [32]reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// Registers of this kernel only: the message buffers of this block and of the
// next, and the lanes that end in the next.
var (
	curReg, nextReg = reg.R12, reg.R13
	soonReg         = reg.R11L
)

func (k *kernel) avx512(lanes int, pick operand.Mem) {
	size := 4 * lanes
	k.begin(fmt.Sprintf("hash%dAVX512", lanes), lanes, 2*16*size+8*size+8*lanes)
	var v [32]reg.VecPhysical
	for i, z := range zmm {
		v[i] = z
		if lanes == 8 {
			v[i] = z.AsY().(reg.VecPhysical)
		}
	}
	bufs := k.local(2 * 16 * size)
	results := k.local(8 * size)
	k.ptrs = k.local(8 * lanes)
	load := k.load16
	if lanes == 8 {
		load = k.load8
	}
	ends, soon, all := reg.K1, reg.K2, operand.U32(1<<lanes-1)

	for i := 0; i < lanes; i += 8 {
		k.VMOVDQU64(field(offIn+8*i), reg.Z31)
		k.VMOVDQU64(reg.Z31, k.row(i))
	}
	k.LEAQ(k.at(bufs), curReg)
	k.LEAQ(k.at(bufs+16*size), nextReg)
	for i := range 8 {
		k.VPBROADCASTD(k.iv.Offset(4*i), v[i])
	}
	k.XORL(reg.ESI, reg.ESI)
	k.XORL(blockReg, blockReg)
	k.MOVL(field(offFlags), flagsReg)
	k.ORL(field(offFirstFlags), flagsReg)

	k.Comment("Block 0 is loaded before the loop, with nothing to hide behind.")
	k.VPXORD(v[31], v[31], v[31])
	k.VPCMPEQD(field(offLast), v[31], ends)
	k.KMOVW(ends, endsReg)
	k.CMPL(field(offRagged), operand.Imm(0))
	k.JEQ(k.to("load"))
	k.MOVL(endsReg, reg.EAX)
	k.redirect("tail0", reg.EAX)
	k.Label(k.label("load"))
	for _, f := range load(v[16:], curReg) {
		f()
	}

	k.Label(k.label("block"))
	k.CMPL(blockReg, field(offLast))
	k.JEQ(k.to("final"))
	k.ADDQ(operand.Imm(64), offReg)
	k.LEAL(operand.Mem{Base: reg.RDX, Disp: 1}, reg.EAX)
	k.VPBROADCASTD(reg.EAX, v[31])
	k.VPCMPEQD(field(offLast), v[31], soon)
	k.KMOVW(soon, soonReg)
	k.CMPL(field(offRagged), operand.Imm(0))
	k.JEQ(k.to("hash"))
	k.MOVL(soonReg, reg.EAX)
	k.redirect("tail", reg.EAX)
	k.Comment("Lanes that have ended repeat lane 0, and follow it to its tail for the last block.")
	k.MOVL(endsReg, reg.EAX)
	k.LEAL(operand.Mem{Base: reg.RDX, Disp: 1}, reg.EBX)
	k.CMPL(reg.EBX, field(offLast))
	k.JNE(k.to("more"))
	k.MOVL(soonReg, reg.EAX)
	k.XORL(all, reg.EAX)
	k.Label(k.label("more"))
	k.park("park", reg.EAX)
	k.Label(k.label("hash"))
	k.init512(v[:16])
	mix(k.rounds512(v[:16]), load(v[16:], nextReg))
	k.fold(v[:16])
	k.TESTL(endsReg, endsReg)
	k.JZ(k.to("next"))
	k.Comment("Some lanes end here: put their results aside.")
	for i := range 8 {
		k.VMOVDQU32(v[i], ends, k.at(results+size*i))
	}
	k.Label(k.label("next"))
	k.INCL(blockReg)
	k.MOVL(soonReg, endsReg)
	k.KMOVW(soon, ends)
	k.XCHGQ(curReg, nextReg)
	k.JMP(k.to("block"))

	k.Label(k.label("final"))
	k.init512(v[:16])
	mix(k.rounds512(v[:16]), nil)
	k.fold(v[:16])
	k.CMPL(endsReg, all)
	k.JEQ(k.to("store"))
	for i := range 8 {
		k.VMOVDQU32(v[i], ends, k.at(results+size*i))
	}
	for i := range 8 {
		k.move(k.at(results+size*i), v[i])
	}
	k.Label(k.label("store"))
	if lanes == 16 {
		k.store16(v[:16], pick)
	} else {
		k.store8(v[:16])
	}
	k.VZEROUPPER()
	k.RET()
}

// move, insert and extract are the forms for AVX-512 registers, or the older
// ones, which reach only the first 16 and do without AVX512VL.
func (k *kernel) move(from, to operand.Op) {
	if k.vex {
		k.VMOVDQU(from, to)
		return
	}
	k.VMOVDQU32(from, to)
}

func (k *kernel) insert(from, to operand.Op) {
	if k.vex {
		k.VINSERTI128(operand.U8(1), from, to, to)
		return
	}
	k.VINSERTI32X4(operand.U8(1), from, to, to)
}

func (k *kernel) extract(from, to operand.Op) {
	if k.vex {
		k.VEXTRACTI128(operand.U8(1), from, to)
		return
	}
	k.VEXTRACTI32X4(operand.U8(1), from, to)
}

// init512 sets words 8 to 15 of the state for the block.
func (k *kernel) init512(v []reg.VecPhysical) {
	for i := range 4 {
		k.VPBROADCASTD(k.iv.Offset(4*i), v[8+i])
	}
	k.move(field(offCtr), v[12])
	k.VPBROADCASTD(field(offCtrHi), v[13])
	k.MOVL(operand.U32(64), reg.EAX)
	k.VPBROADCASTD(reg.EAX, v[14])
	k.VMOVDQU32(field(offLastLen), reg.K1, v[14])
	k.VPBROADCASTD(flagsReg, v[15])
	k.VPORD(field(offLastFlags), v[15], reg.K1, v[15])
	k.MOVL(field(offFlags), flagsReg)
}

// fold makes the chaining value: the first half of the state XOR the second.
func (k *kernel) fold(v []reg.VecPhysical) {
	for i := range 8 {
		k.VPXORD(v[i+8], v[i], v[i])
	}
}

// rounds512 are the seven rounds, each four G on the columns and four on the
// diagonals of the state:
//
//	a += mx + b; d = (d ^ a) >>> 16; c += d; b = (b ^ c) >>> 12
//	a += my + b; d = (d ^ a) >>>  8; c += d; b = (b ^ c) >>>  7
//
// The message word is added first because it does not wait for b. In 16 lanes
// the third and fourth G are one operation behind the first two, so that
// rotations, which only two units do, come in pairs: 3 % on Zen 4. In 8 lanes,
// bound by latency, that would lose.
func (k *kernel) rounds512(v []reg.VecPhysical) (ops []func()) {
	op := func(f func()) { ops = append(ops, f) }
	for _, s := range schedule {
		for h := range 2 {
			q, m := fourOf(h), s[8*h:8*h+8]
			var g [4][]func()
			for i := range 4 {
				a, b, c, d := v[q.a[i]], v[q.b[i]], v[q.c[i]], v[q.d[i]]
				for step, rot := range [][2]uint64{{16, 12}, {8, 7}} {
					msg := operand.Mem{Base: curReg, Disp: k.size * m[2*i+step]}
					g[i] = append(g[i],
						func() { k.VPADDD(msg, a, a) },
						func() { k.VPADDD(b, a, a) },
						func() { k.VPXORD(a, d, d) },
						func() { k.VPRORD(operand.U8(rot[0]), d, d) },
						func() { k.VPADDD(d, c, c) },
						func() { k.VPXORD(c, b, b) },
						func() { k.VPRORD(operand.U8(rot[1]), b, b) })
				}
			}
			lag := 0
			if k.lanes == 16 {
				lag = 1
			}
			for t := range len(g[0]) + lag {
				if t < len(g[0]) {
					op(g[0][t])
					op(g[1][t])
				}
				if t >= lag {
					op(g[2][t-lag])
					op(g[3][t-lag])
				}
			}
		}
	}
	return ops
}

// load16 reads the block of 16 lanes, transposes it and stores it to the buffer:
// vector j is word j of lanes 0 to 15. Half a block at a time; x[i] is a 32-byte
// half of one lane below that of the lane 4 further on, so that unpacking
// transposes 4x4 squares in all four 128-bit parts and one shuffle puts the
// parts in lane order.
func (k *kernel) load16(r []reg.VecPhysical, buf reg.GPPhysical) (ops []func()) {
	op := func(f func()) { ops = append(ops, f) }
	x, t := r[:8], r[8:]
	for h := range 2 {
		for i := range 8 {
			lane := i + i/4*4 // 0 1 2 3 8 9 10 11
			op(func() { k.MOVQ(k.row(lane), reg.RAX) })
			op(func() {
				k.VMOVDQU32(operand.Mem{Base: reg.RAX, Index: offReg, Scale: 1, Disp: 32 * h}, x[i].AsY())
			})
			op(func() { k.MOVQ(k.row(lane+4), reg.RBX) })
			op(func() {
				k.VINSERTI64X4(operand.U8(1), operand.Mem{Base: reg.RBX, Index: offReg, Scale: 1, Disp: 32 * h}, x[i], x[i])
			})
		}
		ops = append(ops, k.square(x[0:4], t[0:4])...)
		ops = append(ops, k.square(x[4:8], t[4:8])...)
		// x[j], x[4+j]: parts 0, 2 have word j, parts 1, 3 have word 4+j
		for j := range 4 {
			op(func() { k.VSHUFI64X2(operand.U8(0xdd), x[4+j], x[j], t[j]) })
			op(func() { k.VSHUFI64X2(operand.U8(0x88), x[4+j], x[j], x[j]) })
			op(func() { k.move(t[j], operand.Mem{Base: buf, Disp: 64 * (8*h + 4 + j)}) })
			op(func() { k.move(x[j], operand.Mem{Base: buf, Disp: 64 * (8*h + j)}) })
		}
	}
	return ops
}

// load8 is load16 for 8 lanes in YMM: a quarter of a block at a time, lane i
// below lane i+4.
func (k *kernel) load8(r []reg.VecPhysical, buf reg.GPPhysical) (ops []func()) {
	op := func(f func()) { ops = append(ops, f) }
	for q := range 4 {
		x, t := r[:4], r[4:8]
		if !k.vex && q&1 != 0 {
			x, t = r[8:12], r[12:16]
		}
		for i := range 4 {
			op(func() { k.MOVQ(k.row(i), reg.RAX) })
			op(func() {
				k.move(operand.Mem{Base: reg.RAX, Index: offReg, Scale: 1, Disp: 16 * q}, x[i].AsX())
			})
			op(func() { k.MOVQ(k.row(i+4), reg.RBX) })
			op(func() {
				k.insert(operand.Mem{Base: reg.RBX, Index: offReg, Scale: 1, Disp: 16 * q}, x[i])
			})
		}
		ops = append(ops, k.square(x, t)...)
		for j := range 4 {
			op(func() { k.move(x[j], operand.Mem{Base: buf, Disp: 32 * (4*q + j)}) })
		}
	}
	return ops
}

// square transposes the 4x4 squares of words in each 128-bit part of x.
func (k *kernel) square(x, t []reg.VecPhysical) []func() {
	return []func(){
		func() { k.VPUNPCKLDQ(x[1], x[0], t[0]) }, // a0 b0 a1 b1
		func() { k.VPUNPCKHDQ(x[1], x[0], t[1]) }, // a2 b2 a3 b3
		func() { k.VPUNPCKLDQ(x[3], x[2], t[2]) },
		func() { k.VPUNPCKHDQ(x[3], x[2], t[3]) },
		func() { k.VPUNPCKLQDQ(t[2], t[0], x[0]) },
		func() { k.VPUNPCKHQDQ(t[2], t[0], x[1]) },
		func() { k.VPUNPCKLQDQ(t[3], t[1], x[2]) },
		func() { k.VPUNPCKHQDQ(t[3], t[1], x[3]) },
	}
}

// store16 transposes the eight words in v[0:8] and writes 32 bytes to each
// lane's out.
func (k *kernel) store16(v []reg.VecPhysical, pick operand.Mem) {
	mix(k.square(v[0:4], v[8:12]), k.square(v[4:8], v[12:16]))
	// Part q of v[j] has words 0 to 3 of lane 4q+j, of v[4+j] words 4 to 7.
	k.move(pick, v[8])
	k.move(pick.Offset(64), v[9])
	for j := range 4 {
		k.move(v[j], v[10])
		k.VPERMT2Q(v[4+j], v[8], v[10])
		k.VPERMT2Q(v[4+j], v[9], v[j])
		for n, src := range []reg.VecPhysical{v[10], v[j]} {
			k.MOVQ(field(offOut+8*(8*n+j)), reg.RAX)
			k.MOVQ(field(offOut+8*(8*n+4+j)), reg.RBX)
			k.VMOVDQU32(src.AsY(), operand.Mem{Base: reg.RAX})
			k.VEXTRACTI64X4(operand.U8(1), src, operand.Mem{Base: reg.RBX})
		}
	}
}

// store8 is store16 for 8 lanes.
func (k *kernel) store8(v []reg.VecPhysical) {
	mix(k.square(v[0:4], v[8:12]), k.square(v[4:8], v[12:16]))
	for j := range 4 {
		k.MOVQ(field(offOut+8*j), reg.RAX)
		k.MOVQ(field(offOut+8*(4+j)), reg.RBX)
		k.move(v[j].AsX(), operand.Mem{Base: reg.RAX})
		k.move(v[4+j].AsX(), operand.Mem{Base: reg.RAX, Disp: 16})
		k.extract(v[j], operand.Mem{Base: reg.RBX})
		k.extract(v[4+j], operand.Mem{Base: reg.RBX, Disp: 16})
	}
}
