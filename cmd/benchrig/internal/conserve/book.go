package conserve

import (
	"fmt"
	"math/bits"
	"slices"
)

// Key is one counter as the ledger knows it.
type Key struct {
	Tenant, Subject [16]byte
	Namespace       uint32
	Dimension       string
}

// Book adds up slices. The zero value is not ready; use NewBook. Not safe for concurrent use.
type Book struct {
	units    map[Key]uint64
	chains   map[Stream][]link
	Slices   int
	Rows     int
	Bytes    int64
	overflow int // keys whose sum left 64 bits
}

// link is what a chain needs to know of a slice.
type link struct {
	seq                  uint64
	digest               Digest
	prev                 *Digest
	gap                  *gap
	sealed, start, until uint64
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{units: map[Key]uint64{}, chains: map[Stream][]link{}}
}

// Add enters one stored slice. A slice that is stored twice counts twice: that is what a double count is.
func (b *Book) Add(body []byte) error {
	w, prev, digest, err := parse(body)
	if err != nil {
		return err
	}
	h := &w.Head
	s := Stream{Writer: [16]byte(h.Writer), Tenant: [16]byte(h.Tenant), Dimension: h.Dimension}
	b.chains[s] = append(b.chains[s], link{h.Seq, digest, prev, h.Gap, h.SealedAt, h.WindowStart, h.WindowEnd})
	for _, r := range w.Rows {
		k := Key{s.Tenant, [16]byte(r.Subject), r.Namespace, s.Dimension}
		sum, carry := bits.Add64(b.units[k], r.Inc, 0)
		b.overflow += int(carry)
		b.units[k] = sum
	}
	b.Slices++
	b.Rows += len(w.Rows)
	b.Bytes += int64(len(body))
	return nil
}

// Units returns the units of one key.
func (b *Book) Units(k Key) uint64 { return b.units[k] }

// Streams is the number of chains.
func (b *Book) Streams() int { return len(b.chains) }

// Gaps is the number of slices that declare a gap.
func (b *Book) Gaps() (n int) {
	for _, c := range b.chains {
		for _, l := range c {
			if l.gap != nil {
				n++
			}
		}
	}
	return n
}

// Breaks walks every chain and says where it does not hold: at most limit sentences, in the order of the streams.
func (b *Book) Breaks(limit int) (out []string) {
	streams := make([]Stream, 0, len(b.chains))
	for s := range b.chains {
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, c Stream) int { return slices.Compare([]byte(a.String()), []byte(c.String())) })
	for _, s := range streams {
		chain := b.chains[s]
		slices.SortStableFunc(chain, func(a, c link) int { return int(min(1, max(-1, int64(a.seq-c.seq)))) })
		var last *link
		for i := range chain {
			if why := chain[i].after(last); why != "" {
				if out = append(out, fmt.Sprintf("stream %v, seq %d: %s", s, chain[i].seq, why)); len(out) >= limit {
					return out
				}
			}
			last = &chain[i]
		}
	}
	if b.overflow > 0 {
		out = append(out, fmt.Sprintf("%d sums left 64 bits", b.overflow))
	}
	return out
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
		return fmt.Sprintf("want seq %d: %s", next, map[bool]string{true: "slices are missing", false: "it is there twice"}[l.seq > next])
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
