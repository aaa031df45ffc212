package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

// sectionChunks is the number of chunks that are joined to one chaining value
// before the next ones are read. It is a power of two and divides 2^32, so a
// section is a complete subtree and the high word of the counter is the same in
// all of it. 256 chunks are 8 KiB of scratch; joining their tree costs four
// passes with mostly idle lanes, 1.3 % of the section on AVX-512.
const sectionChunks = 256

// sum is one message's digest. The scratch arrays come in three sizes because
// the compiler clears them, which a short message would notice.
func sum(p cpufeat.Path, d *cv, b []byte) {
	switch {
	case len(b) <= 16*chunkLen:
		var s [16]cv
		section(p, d, b, 0, rootNode, s[:])
	case len(b) <= 64*chunkLen:
		var s [64]cv
		section(p, d, b, 0, rootNode, s[:])
	case len(b) <= sectionChunks*chunkLen:
		var s [sectionChunks]cv
		section(p, d, b, 0, rootNode, s[:])
	default:
		sumLong(p, d, b)
	}
}

// section writes the chaining value of the subtree over b to d, or the digest
// if flags has rootNode. b is counter*1024 bytes into the message and has at
// most as many chunks as cvs has places.
func section(p cpufeat.Path, d *cv, b []byte, counter uint64, flags uint32, cvs []cv) {
	var l lanes
	l.params = wholeChunks
	var buf [blockLen]byte
	if len(b) <= chunkLen {
		l.partial(0, d, b, counter, chunkEnd|flags, &buf)
		l.run(p, 1)
		return
	}
	n := len(b) / chunkLen
	w := width(p)
	if rest := len(b) - n*chunkLen; rest == 0 {
		l.chunks(p, cvs, b, n, counter)
	} else {
		// The short last chunk is one more lane of the last pass.
		k := n % w
		l.chunks(p, cvs, b, n-k, counter)
		for i := range k {
			c := n - k + i
			l.whole(i, &cvs[c], b[c*chunkLen:(c+1)*chunkLen], counter+uint64(c))
		}
		l.partial(k, &cvs[n], b[n*chunkLen:], counter+uint64(n), chunkEnd, &buf)
		l.run(p, k+1)
		n++
	}
	l.params = parents
	for n > 2 {
		l.parents(p, cvs, cvs, n/2)
		if n&1 != 0 { // an odd one out moves up as it is
			cvs[n/2] = cvs[n-1]
		}
		n = (n + 1) / 2
	}
	l.flags |= flags
	l.pair(0, d, cvs)
	l.run(p, 1)
}

// sumLong is sum for messages of more than one section. Complete subtrees wait
// on a stack, one for each bit of the number of sections before; a subtree is
// joined with its left neighbour as soon as more input is known to follow, which
// is what keeps the root, and only the root, for the end.
func sumLong(p cpufeat.Path, d *cv, b []byte) {
	var scratch [sectionChunks]cv
	var stack [56]cv // 2^64 bytes are 2^46 sections
	top := 0
	for n := uint64(0); ; n++ {
		counter := n * sectionChunks
		if len(b) <= sectionChunks*chunkLen {
			section(p, &stack[top], b, counter, 0, scratch[:])
			break
		}
		section(p, &stack[top], b[:sectionChunks*chunkLen], counter, 0, scratch[:])
		b = b[sectionChunks*chunkLen:]
		top++
		for m := n + 1; m&1 == 0; m >>= 1 {
			top--
			join(p, &stack[top-1], stack[top-1:], 0)
		}
	}
	for ; top > 1; top-- {
		join(p, &stack[top-1], stack[top-1:], 0)
	}
	join(p, d, stack[:], rootNode)
}

// join makes one parent of pair[0] and pair[1].
func join(p cpufeat.Path, d *cv, pair []cv, flags uint32) {
	var l lanes
	l.params = parents
	l.flags |= flags
	l.pair(0, d, pair)
	l.run(p, 1)
}
