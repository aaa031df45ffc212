package asm

// The driver's only file with unsafe code: the argument block of the kernels.
//
// Pointers into messages and into the driver's own scratch arrays, all of which
// may lie on a stack, are kept in fields of type unsafe.Pointer, which the
// garbage collector sees and which move with the stack. They pass through
// noescape because the compiler takes every store through a pointer for an
// escape; what makes that sound is that a lanes value never outlives the call
// of Sum256 or SumMany that made it, and kernels keep nothing.

import (
	"encoding/binary"
	"unsafe"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// cv is a chaining value, or a digest: eight little-endian words.
type cv = [32]byte

const maxLanes = 16

// params are what a kernel needs to know of its lanes besides memory.
//
// Lane i has last[i]+1 blocks. Block b has flags | firstFlags if b = 0 |
// lastFlags[i] if b = last[i], and length 64, or lastLen[i] if b = last[i].
type params struct {
	ctr        [maxLanes]uint32 // low word of the chunk counter
	last       [maxLanes]uint32 // lane 0's is the largest
	lastLen    [maxLanes]uint32
	lastFlags  [maxLanes]uint32
	ctrHi      uint32 // high word, of all lanes
	firstFlags uint32
	flags      uint32
	ragged     uint32 // not 0: the last block of lane i is read from tail[i]
}

// lanes is the argument of one kernel call. Its layout is known to gen/, which
// writes the offsets it used next to the kernels' declarations.
type lanes struct {
	in   [maxLanes]unsafe.Pointer // block b of lane i is at in[i]+64b
	out  [maxLanes]unsafe.Pointer // where the lane's chaining value goes
	tail [maxLanes]unsafe.Pointer // 64 bytes, zero padded; used if ragged
	params
	void cv // what unused lanes write to
}

func fill(x uint32) (a [maxLanes]uint32) {
	for i := range a {
		a[i] = x
	}
	return a
}

// Three templates that are only copied from.
var (
	wholeChunks = params{last: fill(15), lastLen: fill(blockLen), lastFlags: fill(chunkEnd), firstFlags: chunkStart}
	parents     = params{lastLen: fill(blockLen), flags: parentNode}
	roots       = params{lastLen: fill(blockLen), flags: parentNode | rootNode}
)

// noescape returns p and hides from the compiler where it came from. While the address is a mere number a stack that moves leaves it as it was, so
// nothing may be called in between, and what is returned has to be a pointer for the compiler too. Two obvious forms are not that:
//
//	u := uintptr(p); return *(*unsafe.Pointer)(unsafe.Pointer(&u))
//
// is u itself where it is inlined, a number that is kept as such over the calls that follow; and the checks of -race and -d=checkptr are calls in
// between, which is why they are kept out. Both let kernels read and write the stack of before. This form is p itself where it is inlined.
//
//go:nosplit
//go:norace
//go:nocheckptr
func noescape(p unsafe.Pointer) unsafe.Pointer {
	u := uintptr(p)
	return pointerTo(u)
}

// pointerTo is a conversion that go vet does not take for a mistake.
func pointerTo[T ~uintptr](u T) unsafe.Pointer { return unsafe.Pointer(u) }

func data(b []byte) unsafe.Pointer { return noescape(unsafe.Pointer(unsafe.SliceData(b))) }

func at(cvs []cv, i int) unsafe.Pointer { return noescape(unsafe.Pointer(&cvs[i])) }

// digests is dst as a slice of plain arrays, which is what they are.
func digests[D ~[32]byte](dst []D) []cv {
	return unsafe.Slice((*cv)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst))
}

func out(d *cv) unsafe.Pointer { return noescape(unsafe.Pointer(d)) }

// run hashes the first n lanes, 1 ≤ n ≤ width(p), and leaves all fields but
// those of the unused lanes as they were.
func (l *lanes) run(p cpufeat.Path, n int) {
	w := widthFor(p, n)
	for i := n; i < w; i++ { // unused lanes repeat lane 0
		l.in[i], l.tail[i], l.last[i] = l.in[0], l.tail[0], l.last[0]
		l.out[i] = out(&l.void)
	}
	hash(p, l, w)
}

// chunks hashes the n whole chunks at b, n ≥ 0, into cvs[0:n], counting from
// counter. The low words of the counters must not overflow within the call.
func (l *lanes) chunks(p cpufeat.Path, cvs []cv, b []byte, n int, counter uint64) {
	in, w := data(b), width(p)
	l.ctrHi = uint32(counter >> 32)
	for i := 0; i < n; i += w {
		k := min(n-i, w)
		for j := range k {
			l.in[j&15] = unsafe.Add(in, (i+j)*chunkLen)
			l.out[j&15] = at(cvs, i+j)
			l.ctr[j&15] = uint32(counter) + uint32(i+j)
		}
		l.run(p, k)
	}
}

// partial makes lane i the last chunk b of a message, 0 to 1024 bytes. buf must
// live until the run.
func (l *lanes) partial(i int, d *cv, b []byte, counter uint64, flags uint32, buf *[blockLen]byte) {
	last := 0
	if len(b) > 0 {
		last = (len(b) - 1) / blockLen
	}
	rest := b[last*blockLen:]
	if len(rest) == blockLen {
		l.tail[i] = data(rest)
	} else {
		*buf = [blockLen]byte{}
		copy(buf[:], rest)
		l.tail[i] = noescape(unsafe.Pointer(buf))
	}
	l.in[i] = data(b)
	l.out[i] = out(d)
	l.ctr[i] = uint32(counter)
	l.ctrHi = uint32(counter >> 32)
	l.last[i] = uint32(last)
	l.lastLen[i] = uint32(len(rest))
	l.lastFlags[i] = flags
	l.ragged = 1
}

// whole makes lane i the chunk b, exactly 1024 bytes, that is not alone in its
// message. last, lastLen, lastFlags and ctrHi are not touched.
func (l *lanes) whole(i int, d *cv, b []byte, counter uint64) {
	l.in[i] = data(b)
	l.tail[i] = unsafe.Add(l.in[i], chunkLen-blockLen)
	l.out[i] = out(d)
	l.ctr[i] = uint32(counter)
}

// pair makes lane i the parent of p[0] and p[1].
func (l *lanes) pair(i int, d *cv, p []cv) {
	l.in[i], l.out[i] = at(p[:2], 0), out(d)
}

// parents joins the n pairs at cvs[0:2n] into d[0:n]; d may be cvs.
func (l *lanes) parents(p cpufeat.Path, d, cvs []cv, n int) {
	w := width(p)
	for i := 0; i < n; i += w {
		k := min(n-i, w)
		for j := range k {
			l.in[j&15] = at(cvs, 2*(i+j))
			l.out[j&15] = at(d, i+j)
		}
		l.run(p, k)
	}
}

// hashGeneric is the reference kernel: the first n lanes one after the other.
func hashGeneric(l *lanes, n int) {
	for i := range n {
		counter := uint64(l.ctrHi)<<32 | uint64(l.ctr[i])
		h, flags, in := iv, l.flags|l.firstFlags, l.in[i]
		for range l.last[i] {
			compress(&h, (*[blockLen]byte)(in), counter, blockLen, flags)
			in, flags = unsafe.Add(in, blockLen), l.flags
		}
		if l.ragged != 0 {
			in = l.tail[i]
		}
		compress(&h, (*[blockLen]byte)(in), counter, l.lastLen[i], flags|l.lastFlags[i])
		for j, x := range h {
			binary.LittleEndian.PutUint32((*cv)(l.out[i])[4*j:], x)
		}
	}
}
