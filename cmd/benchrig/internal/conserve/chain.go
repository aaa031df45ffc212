package conserve

import (
	"fmt"
	"slices"
)

// link is what a chain needs to know of a slice.
type link struct {
	seq                  uint64
	digest               Digest
	prev                 *Digest
	gap                  *gap
	sealed, start, until uint64
}

// chain is a stream's slices. As long as each follows the one before it only the last is kept: a run of half an hour has millions. What came out of order
// is kept until all is there.
type chain struct {
	held []span // seqs from the first slice to last
	last link
	rest []link
}

// span is inclusive.
type span struct{ from, to uint64 }

func (c *chain) add(l link) {
	if len(c.rest) > 0 || l.after(c.end()) != "" {
		c.rest = append(c.rest, l)
		return
	}
	if n := len(c.held); n > 0 && c.held[n-1].to+1 == l.seq {
		c.held[n-1].to = l.seq
	} else {
		c.held = append(c.held, span{l.seq, l.seq})
	}
	c.last = l
}

// end is the last slice that followed, nil where there is none.
func (c *chain) end() *link {
	if len(c.held) == 0 {
		return nil
	}
	return &c.last
}

// has reports whether the slice of that seq is there.
func (c *chain) has(seq uint64) bool {
	return slices.ContainsFunc(c.held, func(s span) bool { return s.from <= seq && seq <= s.to }) ||
		slices.ContainsFunc(c.rest, func(l link) bool { return l.seq == seq })
}

// breaks says where the chain does not hold.
func (c *chain) breaks(tell func(seq uint64, why string) (more bool)) {
	slices.SortStableFunc(c.rest, func(a, b link) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	last := c.end()
	for i := range c.rest {
		l := &c.rest[i]
		if last != nil && l.seq <= last.seq {
			if !tell(l.seq, "it is there twice") {
				return
			}
			continue
		}
		if why := l.after(last); why != "" && !tell(l.seq, why) {
			return
		}
		last = l
	}
}

// after says why l can't follow last in a chain, or "".
func (l *link) after(last *link) string {
	next := uint64(0)
	if last != nil {
		next = last.seq + 1
	}
	if l.gap != nil {
		if l.gap.From != next || l.gap.To+1 != l.seq {
			return fmt.Sprintf("it declares a gap %d to %d, but the chain goes on at %d", l.gap.From, l.gap.To, next)
		}
	} else if l.seq != next {
		return fmt.Sprintf("want seq %d: slices are missing", next)
	}
	switch {
	case last == nil && l.prev != nil:
		return "it links to a slice before the first"
	case last != nil && l.prev == nil:
		return "it has no link to the slice before it"
	case last != nil && *l.prev != last.digest:
		return fmt.Sprintf("its link %x… is not the digest %x… of the slice before it", l.prev[:6], last.digest[:6])
	case last != nil && (l.sealed < last.sealed || l.start < last.start || l.until < last.until):
		return "its window or sealing time lies before that of the slice before it"
	}
	return ""
}
