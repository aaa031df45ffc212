package asm

import (
	"encoding/binary"
	"math/bits"
)

// The constants of the BLAKE3 specification, section 2.
const (
	blockLen = 64
	chunkLen = 1024

	chunkStart = 1 << 0
	chunkEnd   = 1 << 1
	parentNode = 1 << 2
	rootNode   = 1 << 3
)

var iv = [8]uint32{
	0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
	0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
}

// compress is the compression function, truncated to the chaining value: the
// first eight words of its output. It is the reference of all kernels.
func compress(cv *[8]uint32, block *[blockLen]byte, counter uint64, blen, flags uint32) {
	var m [16]uint32
	for i := range m {
		m[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	v0, v1, v2, v3 := cv[0], cv[1], cv[2], cv[3]
	v4, v5, v6, v7 := cv[4], cv[5], cv[6], cv[7]
	v8, v9, v10, v11 := iv[0], iv[1], iv[2], iv[3]
	v12, v13, v14, v15 := uint32(counter), uint32(counter>>32), blen, flags
	for r := 0; ; r++ {
		v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[0], m[1])
		v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[2], m[3])
		v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[4], m[5])
		v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[6], m[7])
		v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[8], m[9])
		v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[10], m[11])
		v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[12], m[13])
		v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[14], m[15])
		if r == 6 {
			break
		}
		m = [16]uint32{
			m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13],
			m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8],
		}
	}
	*cv = [8]uint32{v0 ^ v8, v1 ^ v9, v2 ^ v10, v3 ^ v11, v4 ^ v12, v5 ^ v13, v6 ^ v14, v7 ^ v15}
}

// quarter is the specification's G. It inlines.
func quarter(a, b, c, d, mx, my uint32) (uint32, uint32, uint32, uint32) {
	a += b + mx
	d = bits.RotateLeft32(d^a, -16)
	c += d
	b = bits.RotateLeft32(b^c, -12)
	a += b + my
	d = bits.RotateLeft32(d^a, -8)
	c += d
	b = bits.RotateLeft32(b^c, -7)
	return a, b, c, d
}
