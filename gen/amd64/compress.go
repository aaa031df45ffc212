package amd64

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// RowsVBMI2 writes the kernels of RowsAVX512 for processors that can move single bytes across a register. Two rows at a time lie in one, each in 32
// bytes, every part at the place that it has at its widest; VPCOMPRESSB then closes the gaps, and one store writes both.
//
//	0 ... 22  the key: 0x83, first byte and bytes of ns, 0x50, id
//	23        first byte of inc, where there are bytes behind it
//	24 ... 31 bytes of inc, most significant first; or inc alone, if it is below 24
//
// A bit a byte says what is kept: no other step depends on the widths. Words 0 and 2 of a row are the vector a, of which all but the last byte is
// overwritten by the key in word 2, word 3 is the vector b. For encoded keys word 0 is the key's as well.
func RowsVBMI2() ([]byte, error) {
	k := newKernel()
	c := &compressConstants{
		swap:  k.quads("bytesSwap", 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f),
		class: k.quads("bytesClass", classes()...),
		shift: k.quads("bytesShift", 56, 48, 32, 0, 0, 0, 0, 0),
		words: k.quads("bytesConstants", 1, 23, 1<<24),
	}
	var code, keep [8]uint64 // of inc, by class
	for i, n := range widths {
		code[i] = uint64(24+i) << 56
		keep[i] = (1<<(n+1) - 1) << 23
	}
	c.code, c.keep = k.quads("bytesCode", code[:]...), k.quads("bytesKeep", keep[:]...)
	k.compressKeys(c)
	k.compressRows(c)
	return k.file()
}

// widths are those of an integer's bytes behind its first byte, by class.
var widths = [4]int{1, 2, 4, 8}

// classes says, by the number of leading zeros, what class an integer of at least 24 is in.
func classes() []uint64 {
	t := make([]uint64, 8)
	for zeros := range 64 {
		class := 0
		for 64-zeros > 8*widths[class] {
			class++
		}
		t[zeros/8] |= uint64(class) << (zeros % 8 * 8) // 0 has 64 leading zeros and is taken for having none
	}
	return t
}

type compressConstants struct{ swap, class, shift, code, keep, words operand.Mem }

// Vector registers of the compressing kernels; 0 to 8 are scratch, and 10 to 12 the sums.
var (
	lastReg   = zmm[9] // of the block before, what the order is told by
	oneReg    = zmm[13]
	digitReg  = zmm[14] // 23
	classReg  = zmm[15]
	shiftReg  = zmm[16]
	codeReg   = zmm[17]
	keepReg   = zmm[18]
	aloneReg  = zmm[19] // what is kept of an inc below 24
	swapReg   = zmm[20]
	spreadReg = zmm[21]    // where the bytes of two keys go
	pairReg   = zmm[22:26] // the words of a and b for the rows 2i and 2i+1
	ownReg    = zmm[26:]   // each kernel's own
)

func (k *kernel) beginCompress(name string, c *compressConstants, spread [8]uint64, pairs [4][8]uint64, kept uint32) {
	k.begin(name, 16, 64)
	k.MOVQ(field(offDst), dstReg)
	k.MOVQ(field(offSrc), srcReg)
	k.MOVQ(field(offBlocks), blocksReg)
	for i, r := range []reg.VecPhysical{oneReg, digitReg, aloneReg} {
		k.VPBROADCASTQ(c.words.Offset(8*i), r)
	}
	for _, f := range []struct {
		m operand.Mem
		r reg.VecPhysical
	}{
		{c.class, classReg}, {c.shift, shiftReg}, {c.code, codeReg}, {c.keep, keepReg}, {c.swap, swapReg}, {k.quads(name+"Spread", spread[:]...), spreadReg},
	} {
		k.VMOVDQU64(f.m, f.r)
	}
	for i, p := range pairs {
		k.VMOVDQU64(k.quads(name+"Pair"+string(rune('a'+i)), p[:]...), pairReg[i])
	}
	for _, r := range []reg.VecPhysical{lastReg, countReg, loReg, hiReg} {
		k.VPXORQ(r, r, r)
	}
	k.Comment("The bytes of a row that are its key's; all rows ascend so far.")
	k.MOVL(operand.U32(kept), reg.EAX)
	k.KMOVD(reg.EAX, reg.K4)
	k.KUNPCKDQ(reg.K4, reg.K4, reg.K4)
	k.MOVL(operand.U32(0xff), orderReg.As32())
}

// orderReg has the low 8 bits set as long as the rows ascend.
var orderReg = reg.R12

func (k *kernel) endCompress() {
	k.DECQ(blocksReg)
	k.JNZ(k.to("block"))
	k.MOVQ(dstReg, field(offDst))
	k.MOVQ(orderReg, field(offOrdered))
	k.VMOVDQU64(countReg, field(offCount))
	k.VMOVDQU64(loReg, field(offLo))
	k.VMOVDQU64(hiReg, field(offHi))
	k.VZEROUPPER()
	k.RET()
}

// ascending jumps to the slow comparison, which returns to label "ordered", unless the first 64 bits of the keys, in cur, ascend already, also
// above those before. The first block's are above zero. It uses tmp, K1.
func (k *kernel) ascending(cur, tmp reg.VecPhysical) {
	k.VALIGNQ(operand.U8(7), lastReg, cur, tmp)
	k.VMOVDQA64(cur, lastReg)
	k.VPCMPUQ(operand.U8(1), cur, tmp, reg.K1)
	k.KORTESTB(reg.K1, reg.K1)
	k.JCC(k.to("compare"))
	k.Label(k.label("ordered"))
}

// compare is the slow comparison: eight rows of size bytes, each with the one before it. less sets the carry flag if the row at BX-size is below
// the one at BX.
func (k *kernel) compare(size int, less func(was, is func(off int) operand.Mem)) {
	k.Label(k.label("compare"))
	k.MOVQ(srcReg, reg.RBX)
	k.LEAQ(operand.Mem{Base: srcReg, Disp: 8 * size}, reg.R11)
	k.CMPQ(srcReg, field(offSrc))
	k.JNE(k.to("pair"))
	k.Comment("The first row is compared with nothing.")
	k.ADDQ(operand.U32(uint32(size)), reg.RBX)
	k.Label(k.label("pair"))
	at := func(base int) func(off int) operand.Mem {
		return func(off int) operand.Mem { return operand.Mem{Base: reg.RBX, Disp: base + off} }
	}
	less(at(-size), at(0))
	k.JCS(k.to("less"))
	k.XORL(orderReg.As32(), orderReg.As32())
	k.Label(k.label("less"))
	k.ADDQ(operand.U32(uint32(size)), reg.RBX)
	k.CMPQ(reg.RBX, reg.R11)
	k.JNE(k.to("pair"))
	k.JMP(k.to("ordered"))
}

// increments takes the units v apart: b is their bytes, a the first byte at the top of a word, keep what is kept of both. What is in b stands
// in the byte before its place if v is below 24. It uses class, K2.
func (k *kernel) increments(v, a, b, keep, class reg.VecPhysical) {
	k.classify(v, class, b)
	k.VPERMQ(codeReg, class, a)
	k.VPERMQ(keepReg, class, keep)
	k.VMOVDQA64(aloneReg, reg.K2, keep)
}

// classify finds v's class, what is below 24 being in that of one byte, and in K2 which are. b is v's bytes, from the lowest address on.
func (k *kernel) classify(v, class, b reg.VecPhysical) {
	k.VPCMPUQ(operand.U8(2), digitReg, v, reg.K2)
	k.VPLZCNTQ(v, class)
	k.VPERMB(classReg, class, class)
	k.VPERMQ(shiftReg, class, b)
	k.VPSLLVQ(b, v, b)
	k.VPSHUFB(swapReg, b, b)
}

// write stores eight rows: words of a and b, the bytes that the spread takes from size bytes a row at srcReg, less what keep leaves out.
func (k *kernel) write(a, b, keep reg.VecPhysical, size int) {
	k.VPMOVQD_Z(keep, reg.K5, keep.AsY())
	k.VMOVDQU(keep.AsY(), k.at(0))
	for i, pair := range pairReg {
		z := zmm[i%2]
		k.MOVQ(k.at(8*i), reg.RAX)
		k.KMOVQ(reg.RAX, reg.K3)
		k.POPCNTQ(reg.RAX, reg.RAX)
		k.VMOVDQA64(a, z)
		k.VPERMT2Q(b, pair, z)
		k.VPERMB(operand.Mem{Base: srcReg, Disp: 2 * size * i}, spreadReg, reg.K4, z)
		k.VPCOMPRESSB_Z(z, reg.K3, z)
		k.VMOVDQU64(z, operand.Mem{Base: dstReg})
		k.ADDQ(reg.RAX, dstReg)
	}
	k.ADDQ(operand.U32(uint32(8*size)), srcReg)
}

// spreadOf tells VPERMB to take n bytes from byte first on of each of two rows of size bytes to byte to of each half.
func spreadOf(size, first, n, to int) (t [8]uint64) {
	for row := range 2 {
		for i := range n {
			at := 32*row + to + i
			t[at/8] |= uint64(size*row+first+i) << (at % 8 * 8)
		}
	}
	return t
}

// pairsOf are the words of each two rows: of a, or, from 8 on, of b.
func pairsOf() (t [4][8]uint64) {
	for i := range uint64(4) {
		for row := range uint64(2) {
			n := 2*i + row
			copy(t[i][4*row:], []uint64{n, n, n, 8 + n})
		}
	}
	return t
}

func (k *kernel) compressKeys(c *compressConstants) {
	first := [2]operand.Mem{k.quads("bytesFirst", 0, 3, 6, 9, 12, 15, 0, 0), k.quads("bytesFirstAll", 0, 1, 2, 3, 4, 5, 10, 13)}
	third := [2]operand.Mem{k.quads("bytesThird", 2, 5, 8, 11, 14, 0, 0, 0), k.quads("bytesThirdAll", 0, 1, 2, 3, 4, 9, 12, 15)}
	k.beginCompress("compressKeysVBMI2", c, spreadOf(24, 0, 23, 0), pairsOf(), 1<<23-1)
	k.MOVQ(field(offIncs), incsReg)
	for i, m := range []operand.Mem{first[0], first[1], third[0], third[1]} {
		k.VMOVDQU64(m, ownReg[i])
	}
	ones := ownReg[4]
	k.VPTERNLOGQ(operand.U8(0xff), ones, ones, ones)

	k.Label(k.label("block"))
	x, w, size := zmm[:3], zmm[3], zmm[4]
	for i := range x {
		k.VMOVDQU64(operand.Mem{Base: srcReg, Disp: 64 * i}, x[i])
	}
	k.Comment("The first and the third word of each key.")
	for i, r := range []reg.VecPhysical{w, size} {
		k.VMOVDQA64(ownReg[2*i], zmm[5+i])
		k.VPERMI2Q(x[1], x[0], zmm[5+i])
		k.VMOVDQA64(ownReg[2*i+1], r)
		k.VPERMI2Q(x[2], zmm[5+i], r)
	}
	k.VPSHUFB(swapReg, w, w)
	k.VPSRLQ(operand.U8(56), size, size)
	k.ascending(w, zmm[0])
	v, a, b, keep := zmm[5], zmm[6], zmm[7], zmm[8]
	k.VMOVDQU64(operand.Mem{Base: incsReg}, v)
	k.ADDQ(operand.Imm(64), incsReg)
	k.tally(v, oneReg)
	k.increments(v, a, b, keep, zmm[0])
	k.Comment("Kept of the key: as many bytes as it says.")
	k.VPSLLVQ(size, ones, size)
	k.VPTERNLOGQ(operand.U8(0xf5), size, keep, keep)
	k.write(a, b, keep, 24)
	k.endCompress()

	words := []reg.GPPhysical{reg.RAX, reg.R10, reg.R13}
	k.compare(24, func(was, is func(off int) operand.Mem) {
		for i, r := range words {
			k.MOVQ(was(8*i), r)
			k.BSWAPQ(r)
		}
		for i := 2; i >= 0; i-- {
			k.MOVQ(is(8*i), reg.R14)
			k.BSWAPQ(reg.R14)
			if i == 2 {
				k.CMPQ(words[i], reg.R14)
			} else {
				k.SBBQ(reg.R14, words[i])
			}
		}
	})
}

func (k *kernel) compressRows(c *compressConstants) {
	var nsWord, nsKeep [8]uint64 // of ns, by class
	for i, n := range widths[:3] {
		nsWord[i] = 0x83 | uint64(24+i)<<8 | 0x50<<48
		nsKeep[i] = 1 | 1<<1 | (1<<n-1)<<2 | (1<<17-1)<<6
	}
	nsWord[3] = nsWord[0] // what VPERMB takes 64 leading zeros for: 0
	tables := []operand.Mem{
		k.quads("bytesOuter", 0, 4, 8, 12, 3, 7, 11, 15),
		k.quads("bytesNS", nsWord[:]...),
		k.quads("bytesNSKeep", nsKeep[:]...),
		k.quads("bytesOrder", 0x0302010004050607, 0x0b0a09080c0d0e0f, 0x0302010004050607, 0x0b0a09080c0d0e0f, 0x0302010004050607, 0x0b0a09080c0d0e0f, 0x0302010004050607, 0x0b0a09080c0d0e0f),
	}
	limits := k.quads("bytesNSConstants", 1<<32-1, nsKeep[0]&^(1<<1))
	k.beginCompress("compressRowsVBMI2", c, spreadOf(32, 4, 16, 7), pairsOf(), (1<<16-1)<<7)
	outer, nsReg, nsKeepReg, sortReg := ownReg[0], ownReg[1], ownReg[2], ownReg[3]
	for i, m := range tables {
		k.VMOVDQU64(m, ownReg[i])
	}
	low, nsAlone := ownReg[4], ownReg[5]
	k.VPBROADCASTQ(limits, low)
	k.VPBROADCASTQ(limits.Offset(8), nsAlone)

	k.Label(k.label("block"))
	for h := range 2 {
		k.VMOVDQU64(operand.Mem{Base: srcReg, Disp: 128 * h}, zmm[h])
		k.VPERMT2Q(operand.Mem{Base: srcReg, Disp: 128*h + 64}, outer, zmm[h])
	}
	ns, v := zmm[2], zmm[3]
	k.Comment("The namespace with four bytes of the id, and the units.")
	k.VINSERTI64X4(operand.U8(1), zmm[1].AsY(), zmm[0], ns)
	k.VSHUFI64X2(operand.U8(0xee), zmm[1], zmm[0], v)
	k.VPSHUFB(sortReg, ns, zmm[0])
	k.ascending(zmm[0], zmm[1])
	k.tally(v, oneReg)
	class, a, b, keep, nsB, nsK := zmm[0], zmm[4], zmm[5], zmm[6], zmm[7], zmm[8]
	k.VPANDQ(low, ns, ns)
	k.classify(ns, class, nsB)
	k.VPERMQ(nsKeepReg, class, nsK)
	k.VMOVDQA64(nsAlone, reg.K2, nsK)
	k.VPERMQ(nsReg, class, ns)
	k.VPSLLQ(operand.U8(16), nsB, nsB)
	k.increments(v, a, b, keep, class)
	k.VPTERNLOGQ(operand.U8(0xfe), nsB, ns, a)
	k.VPORQ(nsK, keep, keep)
	k.write(a, b, keep, 32)
	k.endCompress()

	k.compare(32, func(was, is func(off int) operand.Mem) {
		k.MOVL(was(0), reg.EAX)
		k.MOVQ(was(4), reg.R10)
		k.MOVQ(was(12), reg.R13)
		k.MOVQ(is(12), reg.R14)
		k.BSWAPQ(reg.R13)
		k.BSWAPQ(reg.R14)
		k.CMPQ(reg.R13, reg.R14)
		k.MOVQ(is(4), reg.R14)
		k.BSWAPQ(reg.R10)
		k.BSWAPQ(reg.R14)
		k.SBBQ(reg.R14, reg.R10)
		k.SBBL(is(0), reg.EAX)
	})
}
