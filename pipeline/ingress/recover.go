package ingress

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
)

// openDir makes the directory, moves into its log what an earlier version left, and opens that.
func openDir(o *Options) (*logStore, int, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, 0, err
	}
	if err := moveLegacy(o); err != nil {
		return nil, 0, err
	}
	aside, err := countAside(o.Dir)
	if err != nil {
		return nil, 0, err
	}
	st, err := openLog(o, filepath.Join(o.Dir, stagedDir))
	return st, aside, err
}

// recover brings back what the store holds, and hands the staged slices to their lanes.
func (q *Queue) recover() error {
	var found []*entry
	heads := map[*entry]canon.Head{}
	damage := 0
	err := q.store.replay(&replayed{
		acked: func(a ackedSlice) {
			st := q.stream(a.stream)
			st.move(canon.Head{Seq: a.seq, WindowStartS: a.windowStart, WindowEndS: a.windowEnd, SealedAtMS: a.at}, a.digest)
			q.seen[place{st, a.seq}] = a.digest
			q.acked.push(place{st, a.seq})
		},
		key: func(k keyRecord) {
			q.keys[k.key] = k
			q.order.push(k.key)
		},
		staged: func(e *entry, s canon.SealedSlice) {
			h := s.Head()
			e.s = q.stream(export.StreamOf(h))
			e.acked = ackedSlice{e.s.name, h.Seq, e.digest, h.WindowStartS, h.WindowEndS, h.SealedAtMS}
			heads[e] = h
			found = append(found, e)
		},
		broken: func(why string, err error) {
			q.m.WALCorrupt.Inc()
			q.m.QueueDropped.WithLabelValues("ingress", "lost").Inc()
			q.log.Error("the staging log is damaged", "what", why, "err", err)
			damage++
			note := fmt.Sprintf("damage-%d-%d.lost", time.Now().UnixMilli(), damage)
			if err := writeAside(filepath.Join(q.o.Dir, asideDir), note, fmt.Appendf(nil, "%s: %v\n", why, err)); err != nil {
				q.log.Error("no note could be kept of the damage", "file", note, "err", err)
			}
			q.aside++
		},
		uncertain: func(n uint64) {
			q.log.Warn("a power cut: a batch of POST /record that may not have been counted is not counted again", "batch", n)
		},
		batch: func(rows []byte, from int, begun func(int)) error {
			if q.o.Recount == nil {
				return errors.New("accounting/ingress: Options.Recount: got none, want what counts them")
			}
			q.log.Info("a batch of POST /record is counted that a kill had cut short", "from_row", from)
			return q.o.Recount(rows, from, begun)
		},
	})
	if err != nil {
		return err
	}
	q.trim()
	var items []*lane.Item
	slices.SortStableFunc(found, func(a, b *entry) int { return cmp.Compare(heads[a].Seq, heads[b].Seq) })
	for _, e := range found {
		h := heads[e]
		if d, ok := q.seen[place{e.s, h.Seq}]; ok && d == e.digest { // its ack was kept, what gives it up was not
			q.store.drop([]*entry{e}, 0)
			continue
		}
		if follows := h.Prev == nil && !e.s.tipOK || h.Prev != nil && e.s.tipOK && *h.Prev == e.s.digest; damage > 0 && !follows {
			q.suspect[e.s] = true // a slice before it may be lost: the sink will say so
		}
		e.s.move(h, e.digest)
		e.item = lane.Item{Lane: e.s.lane, Seq: h.Seq, Size: int(e.size), User: e}
		q.hold(e)
		items = append(items, &e.item)
	}
	if len(items) > 0 {
		q.log.Info("staged slices recovered", "slices", len(items), "bytes", q.total.bytes)
	}
	q.publish()
	_, err = q.router.Enqueue(items...)
	return err
}
