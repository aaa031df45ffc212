package table

import (
	"encoding/binary"
	"math/bits"
)

// mix is a bijection-like mix of a row and half of its base; zero bases contribute nothing, so that rows made after a
// commit do not change its fingerprint.
func mix(row uint64, base, k uint64) uint64 {
	hi, lo := bits.Mul64(base^k, row*0x9e3779b97f4a7c15+0xd6e8feb86659fd93)
	return hi ^ lo ^ base*0xa0761d6478bd642f
}

// fingerprint sums the mixes of one base area, bound to a file and an epoch.
func (g *Gen) fingerprint(epoch uint64, file [16]byte) uint64 {
	id := [2]uint64{binary.LittleEndian.Uint64(file[:8]), binary.LittleEndian.Uint64(file[8:])}
	area := epoch & 1
	f := mix(epoch, id[0], id[1])
	k := id[0] ^ epoch*0xe7037ed1a0b428db
	for row, lo := range g.baseLo[area] {
		if lo != 0 {
			f += mix(uint64(row), lo, k)
		}
	}
	if g.wide.Load() != 0 {
		for row, hi := range g.baseHi[area] {
			if hi != 0 {
				f += mix(uint64(row)|1<<32, hi, k)
			}
		}
	}
	return f
}

// Fingerprint returns F of the base area that Commit would make current, for the log's commit; call it after Keep.
func (c *Core) Fingerprint() uint64 { return c.sealer.cur.fingerprint(c.epoch+1, c.fileID) }

// FileID returns the id of the counter file, zero where there is none.
func (c *Core) FileID() [16]byte { return c.fileID }
