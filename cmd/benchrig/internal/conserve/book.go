package conserve

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

// Key is one counter as the ledger knows it.
type Key struct {
	Tenant, Subject [16]byte
	Namespace       uint32
	Dimension       string
}

// account and item are the two halves of a Key: a slice's rows are all of one account, and so found in one small table.
type account struct {
	tenant    [16]byte
	dimension string
}

type item struct {
	subject   [16]byte
	namespace uint32
}

func (k Key) split() (account, item) {
	return account{k.Tenant, k.Dimension}, item{k.Subject, k.Namespace}
}

// Book adds up slices. The zero value is not ready; use NewBook. Not safe for concurrent use.
type Book struct {
	units    map[account]map[item]uint64
	chains   map[Stream]*chain
	gaps     int
	Slices   int
	Rows     int
	Bytes    int64
	overflow int // keys whose sum left 64 bits
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{units: map[account]map[item]uint64{}, chains: map[Stream]*chain{}}
}

// Add enters one stored slice. A slice that is stored twice counts twice: that is what a double count is.
func (b *Book) Add(body []byte) error {
	w, prev, digest, err := parse(body)
	if err != nil {
		return err
	}
	h := &w.Head
	s := Stream{Writer: [16]byte(h.Writer), Tenant: [16]byte(h.Tenant), Dimension: h.Dimension}
	c := b.chains[s]
	if c == nil {
		c = new(chain)
		b.chains[s] = c
	}
	c.add(link{h.Seq, digest, prev, h.Gap, h.SealedAt, h.WindowStart, h.WindowEnd})
	if h.Gap != nil {
		b.gaps++
	}
	sums := b.account(account{s.Tenant, s.Dimension})
	for _, r := range w.Rows {
		b.enter(sums, item{[16]byte(r.Subject), r.Namespace}, r.Inc)
	}
	b.Slices++
	b.Rows += len(w.Rows)
	b.Bytes += int64(len(body))
	return nil
}

// account returns the sums of an account, which may be new.
func (b *Book) account(a account) map[item]uint64 {
	sums := b.units[a]
	if sums == nil {
		sums = map[item]uint64{}
		b.units[a] = sums
	}
	return sums
}

func (b *Book) enter(sums map[item]uint64, i item, units uint64) {
	sum, carry := bits.Add64(sums[i], units, 0)
	b.overflow += int(carry)
	sums[i] = sum
}

// Units returns the units of one key.
func (b *Book) Units(k Key) uint64 {
	a, i := k.split()
	return b.units[a][i]
}

// all yields every key that the book holds.
func (b *Book) all() iter.Seq2[Key, uint64] {
	return func(yield func(Key, uint64) bool) {
		for a, sums := range b.units {
			for i, u := range sums {
				if !yield(Key{a.tenant, i.subject, i.namespace, a.dimension}, u) {
					return
				}
			}
		}
	}
}

// Streams is the number of chains.
func (b *Book) Streams() int { return len(b.chains) }

// Gaps is the number of slices that declare a gap.
func (b *Book) Gaps() int { return b.gaps }

// Breaks walks every chain and says where it does not hold: at most limit sentences, in the order of the streams.
func (b *Book) Breaks(limit int) (out []string) {
	streams := make([]Stream, 0, len(b.chains))
	for s := range b.chains {
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, c Stream) int { return slices.Compare([]byte(a.String()), []byte(c.String())) })
	for _, s := range streams {
		b.chains[s].breaks(func(seq uint64, why string) bool {
			out = append(out, fmt.Sprintf("stream %v, seq %d: %s", s, seq, why))
			return len(out) < limit
		})
		if len(out) >= limit {
			return out
		}
	}
	if b.overflow > 0 {
		out = append(out, fmt.Sprintf("%d sums left 64 bits", b.overflow))
	}
	return out
}
