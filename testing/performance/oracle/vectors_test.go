package oracle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lukechampine.com/blake3"

	"github.com/ron-accounting/ron-accounting/canon"
)

var update = flag.Bool("update", false, "write canon/testdata/vectors")

const vectorDir = "../../../canon/testdata/vectors"

// The JSON of a vector, as package canon's tests read it.
type vector struct {
	Name   string      `json:"name"`
	Hex    string      `json:"hex"`
	B3     string      `json:"b3"`
	CID    string      `json:"cid"`
	Fields fields      `json:"fields"`
	Rows   [][3]string `json:"rows"`
}

type fields struct {
	Seq       string  `json:"seq"`
	Prev      *string `json:"prev"`
	Gap       *gap    `json:"gap"`
	Tenant    string  `json:"tenant"`
	Writer    string  `json:"writer"`
	Amnesia   bool    `json:"amnesia"`
	Dimension string  `json:"dimension"`
	SealedAt  string  `json:"sealed_at_ms"`
	End       string  `json:"window_end_s"`
	Start     string  `json:"window_start_s"`
}

type gap struct {
	From   uint64  `json:"from"`
	To     uint64  `json:"to"`
	Units  *string `json:"units"`
	Reason string  `json:"reason"`
}

// named is a case; its bytes come from the encoders.
type named struct {
	name string
	value
}

func dec(v uint64) string { return fmt.Sprint(v) }

// vectorOf encodes the case by both encoders, which must agree, hashes it by lukechampine.com/blake3 and names it by go-cid.
func vectorOf(t *testing.T, n named) (vector, canon.Digest) {
	t.Helper()
	b := fxEncode(t, n.value)
	if other := ipldEncode(t, n.value); !bytes.Equal(b, other) {
		t.Fatalf("%s: the encoders differ:\nfxamacker     %x\ngo-ipld-prime %x", n.name, b, other)
	}
	if err := judge(b); err != nil {
		t.Fatalf("%s: is no slice: %v", n.name, err)
	}
	d := canon.Digest(blake3.Sum256(b))
	h := &n.head
	v := vector{Name: n.name, Hex: hex.EncodeToString(b), B3: "b3:" + hex.EncodeToString(d[:]), CID: cidOf(t, d).String(), Fields: fields{
		Seq: dec(h.Seq), Tenant: hex.EncodeToString(h.Tenant[:]), Writer: hex.EncodeToString(h.Writer[:]), Amnesia: h.Amnesia,
		Dimension: h.Dimension, SealedAt: dec(h.SealedAtMS), End: dec(h.WindowEndS), Start: dec(h.WindowStartS)}}
	if h.Prev != nil {
		v.Fields.Prev = new(cidOf(t, *h.Prev).String())
	}
	if g := h.Gap; g != nil {
		v.Fields.Gap = &gap{From: g.From, To: g.To, Reason: g.Reason}
		if g.Units != nil {
			v.Fields.Gap.Units = new(dec(*g.Units))
		}
	}
	for _, r := range n.rows {
		v.Rows = append(v.Rows, [3]string{dec(uint64(r.Namespace)), hex.EncodeToString(r.Subject[:]), dec(r.Inc)})
	}
	return v, d
}

// one is a head in the middle of nowhere: no gap, seq 0.
func one() canon.Head {
	return canon.Head{V: 1, Tenant: canon.ID{15: 1}, Writer: canon.ID{0: 0xab, 15: 0xcd}, Dimension: "bytes", SealedAtMS: 1_800_000_300_042, WindowStartS: 1_800_000_000, WindowEndS: 1_800_000_300}
}

// with returns one changed by f.
func with(f func(h *canon.Head)) canon.Head {
	h := one()
	f(&h)
	return h
}

func filled(b byte) (id canon.ID) {
	for i := range id {
		id[i] = b
	}
	return id
}

func singles() []named {
	row := []canon.Row{{Namespace: 7, Subject: filled(0x11), Inc: 12345}}
	most := with(func(h *canon.Head) {
		h.Seq, h.Prev = math.MaxInt64, &canon.Digest{}
		for i := range h.Prev {
			h.Prev[i] = 0xff
		}
		h.Gap = &canon.Gap{From: 1, To: math.MaxInt64 - 1, Units: new(uint64(math.MaxUint64)), Reason: longest("r")}
		h.Tenant, h.Writer, h.Amnesia, h.Dimension = filled(0xff), filled(0xff), true, longest("d")
		h.SealedAtMS, h.WindowEndS, h.WindowStartS = math.MaxUint64, math.MaxUint64, math.MaxUint64-1
	})
	return []named{
		{"one row", value{one(), row}},
		{"empty heartbeat", value{one(), nil}},
		{"amnesia", value{with(func(h *canon.Head) { h.Amnesia = true }), row}},
		{"shortest dimension, zero ids and times", value{canon.Head{V: 1, Dimension: "a", WindowEndS: 1}, []canon.Row{{Inc: 1}}}},
		{"max values", value{most, []canon.Row{{Namespace: math.MaxUint32, Subject: filled(0xff), Inc: math.MaxUint64}}}},
		{"ids in byte order, not in their words'", value{one(), []canon.Row{
			{Subject: canon.ID{15: 1}, Inc: 1}, {Subject: canon.ID{14: 1}, Inc: 2}, {Subject: canon.ID{8: 1}, Inc: 3}, {Subject: canon.ID{7: 0xff}, Inc: 4},
			{Subject: canon.ID{0: 0x7f}, Inc: 5}, {Subject: canon.ID{0: 0x80}, Inc: 6}, {Namespace: 1, Inc: 7}}}},
	}
}

func longest(s string) string { return s + string(bytes.Repeat([]byte("9_z"), 21)[:62]) }

// edges are the numbers on both sides of every width of an integer.
var edges = []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// widths have every edge in every place that holds an integer or a length.
func widths() (cs []named) {
	row := []canon.Row{{Namespace: 1, Subject: filled(1), Inc: 1}}
	add := func(what string, e uint64, h canon.Head, rows []canon.Row) {
		cs = append(cs, named{fmt.Sprintf("%s %d", what, e), value{h, rows}})
	}
	var all []canon.Row
	for _, e := range edges {
		if e < 1<<32 {
			add("ns", e, one(), []canon.Row{{Namespace: uint32(e), Subject: filled(2), Inc: 1}})
			for _, inc := range edges[1:] {
				all = append(all, canon.Row{Namespace: uint32(e), Subject: canon.ID{15: byte(len(all))}, Inc: inc})
			}
		}
		if e > 0 {
			add("inc", e, one(), []canon.Row{{Namespace: 1, Subject: filled(2), Inc: e}})
			add("window_end_s", e, with(func(h *canon.Head) { h.WindowStartS, h.WindowEndS = e-1, e }), row)
		}
		if e < 1<<64-1 {
			add("window_start_s", e, with(func(h *canon.Head) { h.WindowStartS, h.WindowEndS = e, e+1 }), row)
		}
		add("sealed_at_ms", e, with(func(h *canon.Head) { h.SealedAtMS = e }), row)
		if e > 0 && e < 1<<63 {
			add("seq", e, with(func(h *canon.Head) { h.Seq, h.Prev = e, &canon.Digest{1, 2, 3} }), row)
			add("gap.from", e, with(func(h *canon.Head) {
				h.Seq, h.Prev, h.Gap = 1<<63-1, &canon.Digest{4}, &canon.Gap{From: min(e, 1<<63-2), To: 1<<63 - 2, Reason: "wal_corrupt"}
			}), row)
		}
		if e < 1<<63-1 {
			add("gap.to", e, with(func(h *canon.Head) { h.Seq, h.Gap = e+1, &canon.Gap{To: e, Units: &e, Reason: "shed"} }), row)
		}
		add("gap.units", e, with(func(h *canon.Head) { h.Seq, h.Gap = 1, &canon.Gap{Units: &e, Reason: "shed"} }), nil)
	}
	cs = append(cs, named{"every ns with every inc", value{one(), all}})
	for _, n := range []int{1, 23, 24, 63} {
		s := longest("x")[:n]
		add("length of dimension and reason", uint64(n), with(func(h *canon.Head) { h.Seq, h.Gap, h.Dimension = 1, &canon.Gap{Reason: s}, s }), nil)
	}
	for _, n := range []int{23, 24, 255, 256} {
		add("rows", uint64(n), one(), manyRows(n))
	}
	return cs
}

// manyRows returns n rows whose ns and inc have all widths.
func manyRows(n int) []canon.Row {
	r := rand.New(rand.NewPCG(5, uint64(n)))
	rows := make([]canon.Row, n)
	ns := uint32(0)
	for i := range rows {
		if i%max(1, n/64) == 0 {
			ns += 1 + uint32(r.Uint64()>>(34+r.IntN(30)))>>4
		}
		rows[i] = canon.Row{Namespace: ns, Inc: 1 + r.Uint64()>>r.IntN(64)>>1}
		rows[i].Subject[0], rows[i].Subject[1] = byte(i>>8), byte(i)
		for j := 2; j < 16; j++ {
			rows[i].Subject[j] = byte(r.Uint32())
		}
	}
	return rows
}

// chains are a chain of three, and behind it one with a gap of two whose units are not known, and one with units.
func chains(t *testing.T) (cs []named) {
	h := one()
	link := func(name string, rows []canon.Row) {
		cs = append(cs, named{name, value{h, rows}})
		_, d := vectorOf(t, cs[len(cs)-1])
		h.Seq, h.Prev, h.Gap = h.Seq+1, &d, nil
		h.WindowStartS, h.WindowEndS, h.SealedAtMS = h.WindowStartS+300, h.WindowEndS+300, h.SealedAtMS+300_017
	}
	link("chain 0", manyRows(3))
	link("chain 1", nil)
	link("chain 2", manyRows(40))
	h.Seq, h.Gap = 5, &canon.Gap{From: 3, To: 4, Reason: "wal_corrupt"}
	link("behind a gap, units unknown", manyRows(2))
	h.Seq, h.Gap = 7, &canon.Gap{From: 6, To: 6, Units: new(uint64(999)), Reason: "shed"}
	h.WindowEndS += 600
	link("behind a gap, units known, three windows", manyRows(5))
	return cs
}

// fromGap is a chain whose first slices are lost: prev is null behind the gap.
func fromGap(t *testing.T) []named {
	first := named{"the first slices lost", value{with(func(h *canon.Head) {
		h.Seq, h.Gap = 2, &canon.Gap{From: 0, To: 1, Units: new(uint64(0)), Reason: "ledger_rollback"}
	}), manyRows(1)}}
	_, d := vectorOf(t, first)
	return []named{first, {"the one after", value{with(func(h *canon.Head) { h.Seq, h.Prev = 3, &d }), manyRows(1)}}}
}

func TestVectors(t *testing.T) {
	for file, cases := range map[string][]named{
		"single.json": singles(), "widths.json": widths(), "rows_4096.json": {{"4096 rows", value{one(), manyRows(4096)}}},
		"chain.json": chains(t), "chain_from_gap.json": fromGap(t),
	} {
		want := []byte("[\n")
		for i, n := range cases {
			v, _ := vectorOf(t, n)
			line, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				want = append(want, ",\n"...)
			}
			want = append(want, line...)
		}
		want = append(want, "\n]\n"...)
		path := filepath.Join(vectorDir, file)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the encoders write (%v): regenerate it with -update", path, err)
		}
	}
}
