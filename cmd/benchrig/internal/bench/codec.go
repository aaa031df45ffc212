package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
)

func codecCases() []Case {
	var out []Case
	for _, rows := range []int{1024, 4096} {
		out = append(out, Case{fmt.Sprintf("Encode/rows=%d", rows), "", func(*env) (op, error) { return encodeOp(rows) }})
	}
	for _, n := range []int{16 << 10, 38 << 10, 152 << 10, 1 << 20} {
		c := Case{Name: fmt.Sprintf("Digest/bytes=%d", n), make: func(*env) (op, error) { return digestOp(n) }}
		if n > 256<<10 {
			c.Unsteady = leavesCache
		}
		out = append(out, c)
	}
	return append(out, Case{"Decode/rows=4096", leavesCache, func(*env) (op, error) { return decodeOp(4096) }})
}

// sets is how many inputs an encoder gets in turn: more than a branch predictor learns.
const sets = 16

func rowSets(n int) [sets][]canon.Row {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	var out [sets][]canon.Row
	for s := range out {
		rows := make([]canon.Row, n)
		for i := range rows {
			rows[i] = canon.Row{Namespace: uint32(r.Uint64() >> (33 + r.IntN(31))), Subject: canon.IDFromUint64(r.Uint64()), Inc: 1 + r.Uint64()>>(1+r.IntN(63))}
		}
		slices.SortFunc(rows, func(a, b canon.Row) int {
			if a.Namespace != b.Namespace {
				return int(int64(a.Namespace) - int64(b.Namespace))
			}
			return slices.Compare(a.Subject[:], b.Subject[:])
		})
		out[s] = slices.CompactFunc(rows, func(a, b canon.Row) bool { return a.Namespace == b.Namespace && a.Subject == b.Subject })
	}
	return out
}

func head() canon.Head {
	return canon.Head{V: 1, Seq: 1234, Prev: &canon.Digest{1, 2, 3}, Tenant: canon.ID{1}, Writer: canon.ID{2}, Dimension: "bytes", SealedAtMS: 1_800_000_000_123, WindowStartS: 1_800_000_000, WindowEndS: 1_800_000_300}
}

// encodeOp writes rows of mixed widths; hashing is not in it.
func encodeOp(n int) (op, error) {
	in, h := rowSets(n), head()
	var e canon.Encoder
	turn := 0
	run := timed(func(times int) error {
		for range times {
			rows := in[turn%sets]
			turn++
			e.Reset(e.Buffer()[:0])
			if err := e.Begin(&h, len(rows)); err != nil {
				return err
			}
			e.Append(rows)
			if err := e.End(); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := run(1)
	return op{run: run, bytes: len(e.Buffer())}, err
}

func digestOp(n int) (op, error) {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 251)
	}
	return op{bytes: n, run: timed(func(times int) error {
		for range times {
			b[0] += canon.Sum(b)[0]
		}
		return nil
	})}, nil
}

func decodeOp(n int) (op, error) {
	s, err := canon.Encode(head(), rowSets(n)[0])
	if err != nil {
		return op{}, err
	}
	return op{bytes: len(s.Bytes()), run: timed(func(times int) error {
		for range times {
			if _, err := canon.Decode(s.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})}, nil
}
