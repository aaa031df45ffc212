package ledger

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// Group says by what a usage query is split. Dimensions are always told apart: bytes and requests have no sum.
type Group uint8

// The groups; they can be combined.
const (
	ByTenant    Group = 1 << iota
	BySubject         // the object: namespace and subject
	ByDimension       // as without
	ByWindow          // the slices' window, start and end; a coalesced slice is one long window
	ByWriter
)

var groupNames = [...]string{"tenant", "subject", "dimension", "window", "writer"}

// ParseGroup reads group names separated by commas; "" is none.
func ParseGroup(s string) (g Group, err error) {
	if s == "" {
		return 0, nil
	}
	for name := range strings.SplitSeq(s, ",") {
		i := slices.Index(groupNames[:], name)
		if i < 0 {
			return 0, fmt.Errorf("%w: group: got %.40q, want one or more of %s", ErrBadQuery, name, strings.Join(groupNames[:], ","))
		}
		g |= 1 << i
	}
	return g, nil
}

// String is what ParseGroup reads.
func (g Group) String() string {
	var names []string
	for i, n := range groupNames {
		if g&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// Query asks for the units of the slices with From < window_end_s <= To.
type Query struct {
	Filter
	From, To  uint64 // Unix seconds; To 0: no upper bound
	Group     Group
	MaxGroups int // of the answer; 0: 1<<20
}

// UsageRow is one group's sum. Fields that the query does not group by are zero.
type UsageRow struct {
	Writer, Tenant         canon.ID
	Dimension              string
	WindowStart, WindowEnd uint64
	Namespace              uint32
	Subject                canon.ID
	Units                  *big.Int // exact
	Slices                 uint64   // that the sum is taken from
}

type usageKey struct {
	writer, tenant canon.ID
	dimension      string
	start, end     uint64
	namespace      uint32
	subject        canon.ID
}

type usageSum struct {
	units  u128
	slices uint64
}

// Usage adds up what the ledger holds, as of one moment, in the order of the fields of UsageRow. Sums are exact. Except for BySubject it reads only
// the records' headers, which have a checksum of their own. It fails with ErrBadQuery, ErrQueryTooLarge, ErrCorrupt or the context's error.
func (l *Ledger) Usage(ctx context.Context, q Query) ([]UsageRow, error) {
	if q.To != 0 && q.From > q.To {
		return nil, fmt.Errorf("%w: from: got %d, want at most to = %d", ErrBadQuery, q.From, q.To)
	}
	if q.MaxGroups == 0 {
		q.MaxGroups = 1 << 20
	}
	sums := make(map[usageKey]*usageSum)
	err := l.view(func(tx *bbolt.Tx) error {
		r := reader{log: tx.Bucket(bucketLog)}
		return eachStream(tx, q.Filter, nil, func(_ []byte, s export.Stream, t *tip) (bool, error) {
			return true, q.addStream(ctx, &r, s, t, sums)
		})
	})
	if err != nil {
		return nil, err
	}
	out := make([]UsageRow, 0, len(sums))
	for k, v := range sums {
		out = append(out, UsageRow{k.writer, k.tenant, k.dimension, k.start, k.end, k.namespace, k.subject, v.units.big(), v.slices})
	}
	slices.SortFunc(out, func(a, b UsageRow) int {
		return cmp.Or(a.Writer.Compare(b.Writer), a.Tenant.Compare(b.Tenant), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.WindowEnd, b.WindowEnd),
			cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Namespace, b.Namespace), a.Subject.Compare(b.Subject))
	})
	return out, nil
}

// addStream walks a stream back from its newest slice in the range to its oldest.
func (q *Query) addStream(ctx context.Context, r *reader, s export.Stream, t *tip, sums map[usageKey]*usageSum) error {
	if t.winEnd <= q.From { // nothing of it is in the range: no record is read
		return nil
	}
	h, body, p, ok, err := r.seek(t, func(h *header) bool { return q.To == 0 || h.winEnd <= q.To })
	for n := 0; ok && err == nil && h.winEnd > q.From; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return interrupted(ctx, "usage")
		}
		if err := q.addSlice(&h, p, body, s, sums); err != nil {
			return err
		}
		if h.index == 0 {
			return nil
		}
		p = h.prev
		h, body, err = r.of(p, t.number, h.index-1)
	}
	return err
}

func (q *Query) addSlice(h *header, p place, body []byte, s export.Stream, sums map[usageKey]*usageSum) error {
	k := usageKey{dimension: s.Dimension}
	if q.Group&ByWriter != 0 {
		k.writer = s.Writer
	}
	if q.Group&ByTenant != 0 {
		k.tenant = s.Tenant
	}
	if q.Group&ByWindow != 0 {
		k.start, k.end = h.winStart, h.winEnd
	}
	sum := func() (*usageSum, error) {
		v := sums[k]
		if v == nil {
			if len(sums) >= q.MaxGroups {
				return nil, fmt.Errorf("%w: more than %d", ErrQueryTooLarge, q.MaxGroups)
			}
			v = &usageSum{}
			sums[k] = v
		}
		v.slices++
		return v, nil
	}
	if q.Group&BySubject == 0 {
		v, err := sum()
		if err == nil {
			v.units.addAll(h.units)
		}
		return err
	}
	sl, err := h.slice(p, body, false)
	if err != nil {
		return err
	}
	for _, row := range sl.Rows() {
		k.namespace, k.subject = row.Namespace, row.Subject
		v, err := sum()
		if err != nil {
			return err
		}
		v.units.add(row.Inc)
	}
	return nil
}
