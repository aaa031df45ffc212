package asm

import "github.com/ron-accounting/ron-accounting/internal/cpufeat"

// SumMany works on a batch of messages at a time: as many as have at most
// manyChunks chunks together and are at most manyMsgs. Lanes are filled
// with whole chunks first, across messages, then with the last, shorter chunks,
// longest first, so that lanes of one pass end at about the same block, then
// with the tree nodes of all messages level by level, and last with all roots.
const (
	manyMsgs   = 128
	manyChunks = 512
	// A message of this many chunks fills the lanes well enough alone.
	aloneChunks = 192
)

// batch is the scratch of sumMany, kept on its stack.
type batch struct {
	chunks lanes
	nodes  lanes
	first  [manyMsgs]uint16 // place of the message's first chaining value
	count  [manyMsgs]uint16 // its chaining values not yet joined
	next   [manyMsgs]uint8  // list of messages whose last chunk ends in the same block
	head   [16]uint8        // of those lists, index+1; 0: empty
	cvs    [manyChunks]cv
	tails  [maxLanes][blockLen]byte
}

func chunksOf(b []byte) int { return max(1, (len(b)+chunkLen-1)/chunkLen) }

func sumMany(p cpufeat.Path, dst []cv, msgs [][]byte) {
	var t batch
	for len(msgs) > 0 {
		if chunksOf(msgs[0]) >= aloneChunks {
			sum(p, &dst[0], msgs[0])
			dst, msgs = dst[1:], msgs[1:]
			continue
		}
		n, places := 0, 0
		for n < len(msgs) && n < manyMsgs {
			c := chunksOf(msgs[n])
			if c >= aloneChunks || places+c > manyChunks {
				break
			}
			t.first[n], t.count[n] = uint16(places), uint16(c)
			places += c
			n++
		}
		t.leaves(p, dst[:n], msgs[:n])
		t.joins(p, dst[:n])
		dst, msgs = dst[n:], msgs[n:]
	}
}

// leaves hashes all chunks of msgs; a message of one chunk is done then.
func (t *batch) leaves(p cpufeat.Path, dst []cv, msgs [][]byte) {
	l, w := &t.chunks, width(p)
	l.params = wholeChunks
	k := 0 // lanes in use
	for i, m := range msgs {
		at, n := int(t.first[i]), len(m)/chunkLen
		if n*chunkLen == len(m) && n > 1 {
			// no shorter chunk at the end
		} else {
			rest := m
			if t.count[i] > 1 {
				rest = m[n*chunkLen:]
			} else {
				n = 0
			}
			last := (max(1, len(rest)) - 1) / blockLen
			t.next[i], t.head[last] = t.head[last], uint8(i+1)
		}
		for c := range n {
			l.whole(k, &t.cvs[at+c], m[c*chunkLen:(c+1)*chunkLen], uint64(c))
			if k++; k == w {
				l.run(p, k)
				k = 0
			}
		}
	}
	for b := len(t.head) - 1; b >= 0; b-- {
		for ; t.head[b] != 0; t.head[b] = t.next[t.head[b]-1] {
			i := int(t.head[b] - 1)
			m, c := msgs[i], int(t.count[i])
			d, flags := &dst[i], uint32(chunkEnd|rootNode)
			if c > 1 {
				d, flags = &t.cvs[int(t.first[i])+c-1], chunkEnd
			}
			l.partial(k, d, m[(c-1)*chunkLen:], uint64(c-1), flags, &t.tails[k])
			if k++; k == w {
				l.run(p, k)
				k = 0
			}
		}
	}
	if k > 0 {
		l.run(p, k)
	}
}

// joins reduces the chaining values of every message to its digest.
func (t *batch) joins(p cpufeat.Path, dst []cv) {
	l, w := &t.nodes, width(p)
	l.params = parents
	for again := true; again; {
		k := 0
		for i := range dst {
			n, at := int(t.count[i]), int(t.first[i])
			if n <= 2 {
				continue
			}
			for j := range n / 2 {
				l.pair(k, &t.cvs[at+j], t.cvs[at+2*j:])
				if k++; k == w {
					l.run(p, k)
					k = 0
				}
			}
		}
		if k > 0 {
			l.run(p, k)
		}
		again = false
		for i := range dst {
			n, at := int(t.count[i]), int(t.first[i])
			if n <= 2 {
				continue
			}
			if n&1 != 0 { // an odd one out moves up as it is
				t.cvs[at+n/2] = t.cvs[at+n-1]
			}
			n = (n + 1) / 2
			t.count[i] = uint16(n)
			again = again || n > 2
		}
	}
	l.params = roots
	k := 0
	for i := range dst {
		if t.count[i] != 2 {
			continue
		}
		l.pair(k, &dst[i], t.cvs[t.first[i]:])
		if k++; k == w {
			l.run(p, k)
			k = 0
		}
	}
	if k > 0 {
		l.run(p, k)
	}
}
