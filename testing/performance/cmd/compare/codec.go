//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	zeebo "github.com/zeebo/blake3"
	lukechampine "lukechampine.com/blake3"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/testing/performance/harness"
	"github.com/ron-accounting/ron-accounting/testing/performance/peers"
)

// fatal carries an error out of a measured loop.
type fatal struct{ err error }

func (f *fatal) note(err error) {
	if err != nil && f.err == nil {
		f.err = err
	}
}

// seal compares whole seals of one stream, the counting before each not measured.
func seal(o *options) error {
	var f fatal
	for _, rows := range []int{1024, 2048, 4096} {
		ss, err := peers.Sealers(rows)
		if err != nil {
			return err
		}
		var cs []harness.Contender
		for _, s := range ss {
			cs = append(cs, harness.Contender{Name: s.Name, Timed: func(n int) time.Duration {
				sum, err := s.Seal(n)
				f.note(err)
				return sum
			}})
		}
		o.print(fmt.Sprintf("seal: %d rows of one stream, steady", rows), "zeebo alone, the same bytes", 1, cs)
		for _, s := range ss {
			f.note(s.Close())
		}
	}
	return f.err
}

// encode compares encoders over fresh rows of mixed widths, 16 different sets in turn.
func encode(o *options) error {
	var f fatal
	const sets = 16
	for _, n := range []int{1024, 4096} {
		var rows [sets][]canon.Row
		for i := range rows {
			rows[i] = peers.Rows(n, uint64(i))
		}
		fx, err := peers.NewFxamacker()
		if err != nil {
			return err
		}
		var e canon.Encoder
		head := peers.Head(0)
		o.print(fmt.Sprintf("encode: %d rows of mixed widths, fresh input", n), "fxamacker", 1, []harness.Contender{
			{Name: "ours Encoder", Run: func(_, n int) {
				for i := range n {
					e.Reset(nil)
					f.note(e.Begin(&head, len(rows[i%sets])))
					e.Append(rows[i%sets])
					f.note(e.End())
				}
			}},
			{Name: "ours Encode (own memory, with digest)", Run: func(_, n int) {
				for i := range n {
					_, err := canon.Encode(head, rows[i%sets])
					f.note(err)
				}
			}},
			{Name: "fxamacker", Run: func(_, n int) {
				for i := range n {
					_, err := fx.Encode(0, rows[i%sets])
					f.note(err)
				}
			}},
		})
	}
	return f.err
}

// digest compares BLAKE3-256 of one message, one thread.
func digest(o *options) error {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{4 << 10, 16 << 10, 38 << 10, 76 << 10, 152 << 10, 1 << 20} {
		const sets = 4
		var in [sets][]byte
		for i := range in {
			in[i] = make([]byte, n)
			for j := range in[i] {
				in[i][j] = byte(r.Uint32())
			}
		}
		ours, theirs := canon.Sum(in[0]), zeebo.Sum256(in[0])
		if ours != theirs || lukechampine.Sum256(in[0]) != theirs {
			return fmt.Errorf("the digests of %d bytes differ: ours %x, zeebo %x", n, ours[:4], theirs[:4])
		}
		var sink byte
		over := func(name string, sum func([]byte) [32]byte) harness.Contender {
			return harness.Contender{Name: name, Bytes: n, Run: func(_, k int) {
				for i := range k {
					d := sum(in[i%sets])
					sink ^= d[0]
				}
			}}
		}
		cs := []harness.Contender{
			over("ours", func(b []byte) [32]byte { return canon.Sum(b) }),
			over("zeebo", zeebo.Sum256),
			over("lukechampine", lukechampine.Sum256),
		}
		if c := peers.OfficialC; c != nil {
			if c(in[0]) != theirs {
				return fmt.Errorf("the digests of %d bytes differ: the C library's is another", n)
			}
			cs = append(cs, over("official C", c))
		}
		o.print(fmt.Sprintf("digest: %d KiB", n>>10), "zeebo", 1, cs)
		_ = sink
	}
	return nil
}
