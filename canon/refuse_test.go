package canon

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// item is one CBOR item of a test input, found by a walk that shares no code with the decoder.
type item struct {
	off, body, end int // of the first byte, of what follows the header, and behind the item
	major          byte
	arg            uint64
	kids           []*item
}

func walk(b []byte, off int) *item {
	it := &item{off: off, major: b[off] >> 5, arg: uint64(b[off] & 31)}
	n := 0
	if it.arg >= 24 && it.major != 7 {
		n = 1 << (it.arg - 24)
		it.arg = 0
		for _, c := range b[off+1 : off+1+n] {
			it.arg = it.arg<<8 | uint64(c)
		}
	}
	it.body = off + 1 + n
	it.end = it.body
	kids := uint64(0)
	switch it.major {
	case 2, 3:
		it.end += int(it.arg)
	case 4:
		kids = it.arg
	case 5:
		kids = 2 * it.arg
	case 6:
		kids = 1
	}
	for range kids {
		k := walk(b, it.end)
		it.kids = append(it.kids, k)
		it.end = k.end
	}
	return it
}

func (it *item) all(f func(*item)) {
	f(it)
	for _, k := range it.kids {
		k.all(f)
	}
}

// get returns the value under a key of a map.
func (it *item) get(b []byte, key string) *item {
	for i := 0; i < len(it.kids); i += 2 {
		if k := it.kids[i]; string(b[k.body:k.end]) == key {
			return it.kids[i+1]
		}
	}
	panic("no key " + key)
}

// header writes a header of the given argument size: 0 (in the first byte), 1, 2, 4 or 8.
func header(major byte, arg uint64, size int) []byte {
	switch size {
	case 0:
		return []byte{major<<5 | byte(arg)}
	case 1:
		return []byte{major<<5 | 24, byte(arg)}
	case 2:
		return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(arg))
	case 4:
		return binary.BigEndian.AppendUint32([]byte{major<<5 | 26}, uint32(arg))
	}
	return binary.BigEndian.AppendUint64([]byte{major<<5 | 27}, arg)
}

// splice replaces b[from:to].
func splice(b []byte, from, to int, by ...byte) []byte {
	return slices.Concat(b[:from:from], by, b[to:])
}

// refused checks that every way of reading b gives this offset and rule.
func refused(t *testing.T, what string, b []byte, off int, rule string) {
	t.Helper()
	_, err1 := Decode(b)
	_, err2 := View(b)
	_, err3 := ViewSummed(b, Digest{})
	for _, err := range []error{err1, err2, err3} {
		wantRule(t, what, err, off, rule)
	}
}

func wantRule(t *testing.T, what string, err error, off int, rule string) {
	t.Helper()
	var se *SchemaError
	if !errors.As(err, &se) || !errors.Is(err, ErrSchema) {
		t.Errorf("%s: got %v, want a *SchemaError", what, err)
	} else if se.Offset != off || se.Rule != rule {
		t.Errorf("%s: got offset %d, %q, want offset %d, %q", what, se.Offset, se.Rule, off, rule)
	}
}

// refuseInputs are the slices that the tests below spoil: the vectors and one with everything at its widest.
func refuseInputs(t *testing.T) map[string][]byte {
	in := map[string][]byte{}
	for _, v := range readVectors(t, "testdata/vectors.json") {
		in[v.Name] = v.bytes(t)
	}
	h := wideHead()
	rows := []Row{{Namespace: 0, Subject: ID{15: 1}, Inc: 23}, {Namespace: 24, Inc: 256}, {Namespace: 1 << 16, Inc: 1 << 32}, {Namespace: 1<<32 - 1, Subject: ID{0: 0xff}, Inc: 1<<64 - 1}}
	in["wide"] = bytes.Clone(must[SealedSlice](t)(Encode(h, rows)).Bytes())
	in["heartbeat"] = bytes.Clone(must[SealedSlice](t)(Encode(Head{Dimension: "cpu", WindowEndS: 1}, nil)).Bytes())
	return in
}

func wideHead() Head {
	return Head{V: 1, Seq: MaxSeq, Gap: &Gap{From: MaxSeq / 2, To: MaxSeq - 1, Units: new(uint64(1<<64 - 1)), Reason: "r" + string(bytes.Repeat([]byte{'z'}, 62))},
		Prev: &Digest{1, 2, 3}, Tenant: ID{1}, Writer: ID{2}, Amnesia: true, Dimension: "d" + string(bytes.Repeat([]byte{'_'}, 62)),
		SealedAtMS: 1<<64 - 1, WindowStartS: 1<<64 - 2, WindowEndS: 1<<64 - 1}
}

func TestRefuseEveryHeader(t *testing.T) {
	for name, b := range refuseInputs(t) {
		root := walk(b, 0)
		if root.end != len(b) {
			t.Fatalf("%s: the test's own walk ended at %d of %d", name, root.end, len(b))
		}
		rows := root.get(b, "rows").kids
		root.all(func(it *item) {
			what := fmt.Sprintf("%s at %d (%02x)", name, it.off, b[it.off])
			wrongType := RuleType
			if slices.Contains(rows, it) {
				wrongType = RuleRow
			}
			if it.major != 7 {
				for _, size := range []int{1, 2, 4, 8} {
					if size > it.body-it.off-1 {
						refused(t, what+": longer", splice(b, it.off, it.body, header(it.major, it.arg, size)...), it.off, RuleShortest)
					}
				}
				for info := byte(28); info < 31; info++ {
					refused(t, what+": reserved", splice(b, it.off, it.body, it.major<<5|info), it.off, RuleReserved)
				}
			}
			switch it.major {
			case 2, 3:
				chunked := slices.Concat([]byte{it.major<<5 | 31}, b[it.off:it.end], []byte{0xff})
				refused(t, what+": indefinite", splice(b, it.off, it.end, chunked...), it.off, RuleDefinite)
			case 4, 5:
				open := slices.Concat([]byte{it.major<<5 | 31}, b[it.body:it.end], []byte{0xff})
				refused(t, what+": indefinite", splice(b, it.off, it.end, open...), it.off, RuleDefinite)
			}
			refused(t, what+": break", splice(b, it.off, it.end, 0xff), it.off, RuleDefinite)
			refused(t, what+": tagged", splice(b, it.off, it.off, 0xc1), it.off, RuleTag)
			refused(t, what+": tagged 55799", splice(b, it.off, it.off, 0xd9, 0xd9, 0xf7), it.off, RuleTag)
			refused(t, what+": half float", splice(b, it.off, it.end, 0xf9, 0x3c, 0), it.off, RuleFloat)
			refused(t, what+": float", splice(b, it.off, it.end, 0xfa, 0x3f, 0x80, 0, 0), it.off, RuleFloat)
			refused(t, what+": double", splice(b, it.off, it.end, 0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0), it.off, RuleFloat)
			refused(t, what+": undefined", splice(b, it.off, it.end, 0xf7), it.off, wrongType)
			refused(t, what+": simple", splice(b, it.off, it.end, 0xf8, 0x20), it.off, wrongType)
			refused(t, what+": negative", splice(b, it.off, it.end, 0x20), it.off, wrongType)
			if it.major != 6 { // a link in another place than prev's
				refused(t, what+": link", splice(b, it.off, it.end, []byte(linkPrefix+string(make([]byte, 32)))...), it.off, ruleForLink(root, b, it))
			}
		})
	}
}

// ruleForLink: where prev is null because it must be, a link is no wrong type but RulePrev; elsewhere it is RuleTag.
func ruleForLink(root *item, b []byte, it *item) string {
	if it == root.get(b, "head").get(b, "prev") {
		return RulePrev
	}
	return RuleTag
}

func TestRefuseEveryCut(t *testing.T) {
	for name, b := range refuseInputs(t) {
		rows := walk(b, 0).get(b, "rows")
		for n := range b {
			if left := n - rows.body; left >= 0 && uint64(left) < rows.arg {
				refused(t, fmt.Sprintf("%s cut at %d", name, n), b[:n], rows.off, RuleRowCount)
			} else {
				refused(t, fmt.Sprintf("%s cut at %d", name, n), b[:n], n, RuleTruncated)
			}
		}
		for _, more := range []string{"\x00", "\xf6", "\xff", string(b)} {
			refused(t, name+" with more behind it", append(bytes.Clone(b), more...), len(b), RuleTrailing)
		}
	}
}

func TestRefuseKeys(t *testing.T) {
	for name, b := range refuseInputs(t) {
		root := walk(b, 0)
		root.all(func(m *item) {
			if m.major != 5 {
				return
			}
			n := len(m.kids) / 2
			entry := func(i int) []byte { return b[m.kids[2*i].off:m.kids[2*i+1].end] }
			for i := range n {
				key := m.kids[2*i]
				what := fmt.Sprintf("%s, key %q", name, b[key.body:key.end])
				end := m.kids[2*i+1].end
				less := splice(b, key.off, end)
				less[m.off]--
				refused(t, what+" missing", less, m.off, RuleKeys)
				more := splice(b, end, end, []byte("\x61z\x00")...)
				more[m.off]++
				refused(t, what+" and one more", more, m.off, RuleKeys)
				rename := bytes.Clone(b)
				rename[key.body] = '?'
				refused(t, what+" renamed", rename, key.off, RuleKeyUnknown)
				refused(t, what+" as a byte string", splice(b, key.off, key.off+1, b[key.off]^0x20), key.off, RuleType)
				refused(t, what+" huge", splice(b, key.off, key.off+1, header(3, 1<<63, 8)...), len(b)+8, RuleTruncated)
				if i+1 == n {
					continue
				}
				next := m.kids[2*i+2]
				swapped := splice(b, key.off, m.kids[2*i+3].end, append(bytes.Clone(entry(i+1)), entry(i)...)...)
				refused(t, what+" swapped with the next", swapped, key.off, RuleKeyOrder)
				twice := splice(b, next.off, m.kids[2*i+3].end, entry(i)...)
				refused(t, what+" twice", twice, next.off, RuleKeyDuplicate)
				refused(t, what+" missing, but counted", splice(b, key.off, end), key.off, RuleKeyOrder)
			}
		})
	}
}

func TestRefuseBytes(t *testing.T) {
	in := refuseInputs(t)
	b := in["chain-1"]
	root := walk(b, 0)
	head, rows := root.get(b, "head"), root.get(b, "rows")
	row0, row1 := rows.kids[0], rows.kids[1]
	prev, tenant, writer := head.get(b, "prev"), head.get(b, "tenant"), head.get(b, "writer")
	id := func(it *item, n int) []byte {
		return splice(b, it.off, it.end, append(header(2, uint64(n), min(n/24, 1)), make([]byte, n)...)...)
	}
	for _, it := range []*item{tenant, writer, row0.kids[1], row1.kids[1]} {
		for _, n := range []int{0, 1, 15, 17, 23, 24, 32} {
			refused(t, fmt.Sprintf("id of %d bytes at %d", n, it.off), id(it, n), it.off, RuleID)
		}
		refused(t, "id as text", splice(b, it.off, it.off+1, 0x70), it.off, RuleType)
		refused(t, "id as null", splice(b, it.off, it.end, cborNull), it.off, RuleType)
	}
	for i := 4; i < len(linkPrefix); i++ {
		c := bytes.Clone(b)
		c[prev.off+i]++
		refused(t, fmt.Sprintf("CID byte %d", i-4), c, prev.off+i, RuleCID)
	}
	link := prev.kids[0]
	for _, n := range []int{0, 36, 38} {
		refused(t, fmt.Sprintf("CID of %d bytes", n), splice(b, link.off, link.end, append(header(2, uint64(n), min(n/24, 1)), make([]byte, n)...)...), link.off, RuleCID)
	}
	refused(t, "tag 41", splice(b, prev.off+1, prev.off+2, 41), prev.off, RuleTag)
	refused(t, "tag 43", splice(b, prev.off+1, prev.off+2, 43), prev.off, RuleTag)
	refused(t, "tag 298, 42 in its low byte", splice(b, prev.off, prev.off+2, 0xd9, 1, 42), prev.off, RuleTag)
	refused(t, "link as text", splice(b, link.off, link.off+1, 0x78), link.off, RuleType)
	refused(t, "link without tag", splice(b, prev.off, prev.off+2), prev.off, RuleType)
	refused(t, "link as a CID text", splice(b, prev.off, prev.end, AppendText(nil, Digest{}.CID())...), prev.off, RuleType)

	for _, n := range []byte{0, 1, 2, 4} {
		refused(t, fmt.Sprintf("row of %d", n), splice(b, row1.off, row1.off+1, 0x80|n), row1.off, RuleRow)
	}
	refused(t, "row as a map", splice(b, row0.off, row0.off+1, 0xa3), row0.off, RuleRow)
	refused(t, "rows as a map", splice(b, rows.off, rows.off+1, 0xa2), rows.off, RuleType)
	refused(t, "ns 2^32", splice(b, row0.kids[0].off, row0.kids[0].end, header(0, 1<<32, 8)...), row0.kids[0].off, RuleNamespace)
	refused(t, "inc 0", splice(b, row1.kids[2].off, row1.kids[2].end, 0), row1.kids[2].off, RuleInc)
	refused(t, "rows swapped", slices.Concat(b[:row0.off], b[row1.off:row1.end], b[row0.off:row0.end]), row0.off+row1.end-row1.off, RuleRowOrder)
	refused(t, "rows equal", slices.Concat(b[:row0.end], b[row0.off:row0.end]), row1.off, RuleRowOrder)
	refused(t, "row as large, inc differs", splice(b, row1.kids[1].end-1, row1.kids[1].end, 0xaa), row1.off, RuleRowOrder)
	left := uint64(len(b) - rows.body)
	for _, n := range []uint64{3, 23} {
		refused(t, fmt.Sprintf("%d rows declared", n), splice(b, rows.off, rows.body, appendArg(nil, majorArray, n)...), len(b), RuleTruncated)
	}
	for _, n := range []uint64{left + 1, 255, 1 << 16, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 62, 1 << 63, 1<<64 - 1} {
		refused(t, fmt.Sprintf("%d rows declared", n), splice(b, rows.off, rows.body, appendArg(nil, majorArray, n)...), rows.off, RuleRowCount)
	}
	refused(t, "a row less declared", splice(b, rows.off, rows.body, 0x81), row1.off, RuleTrailing)
	refused(t, "no row declared", splice(b, rows.off, rows.body, 0x80), row0.off, RuleTrailing)
	w := in["wide"]
	wr := walk(w, 0).get(w, "rows")
	refused(t, "a row more declared, in long rows", splice(w, wr.off, wr.body, 0x85), len(w), RuleTruncated)
	refused(t, "nothing", nil, 0, RuleTruncated)
	refused(t, "a mebibyte and one", make([]byte, MaxBytes+1), MaxBytes, RuleTooLarge)
	refused(t, "a mebibyte of zeros", make([]byte, MaxBytes), 0, RuleType)
	refused(t, "deep", bytes.Repeat([]byte{0x81}, MaxBytes), 0, RuleType)
	refused(t, "deep tags", bytes.Repeat([]byte{0xc1}, MaxBytes), 0, RuleTag)
}

// Values that break a rule: their bytes are refused by Decode, the values by Encode and Encoder.Begin, all alike.
func TestRefuseValues(t *testing.T) {
	type slice struct {
		Head
		rows []Row
	}
	gap := func(from, to uint64) *Gap { return &Gap{From: from, To: to, Reason: "shed"} }
	long := string(bytes.Repeat([]byte{'a'}, 64))
	cases := []struct {
		name   string
		change func(*slice)
		at     string // path of the value to blame
		plus   int
		rule   string
	}{
		{"v 2", func(s *slice) { s.V = 2 }, "v", 0, RuleVersion},
		{"v huge", func(s *slice) { s.V = 1<<64 - 1 }, "v", 0, RuleVersion},
		{"seq 2^63", func(s *slice) { s.Seq = 1 << 63 }, "seq", 0, RuleSeq},
		{"seq max", func(s *slice) { s.Seq = 1<<64 - 1 }, "seq", 0, RuleSeq},
		{"prev at seq 0", func(s *slice) { s.Seq = 0 }, "prev", 0, RulePrev},
		{"no prev at seq 1", func(s *slice) { s.Prev = nil }, "prev", 0, RulePrev},
		{"no prev behind a gap from 1", func(s *slice) { s.Seq, s.Prev, s.Gap = 3, nil, gap(1, 2) }, "prev", 0, RulePrev},
		{"prev behind a gap from 0", func(s *slice) { s.Seq, s.Gap = 3, gap(0, 2) }, "prev", 0, RulePrev},
		{"gap at seq 0", func(s *slice) { s.Seq, s.Prev, s.Gap = 0, nil, gap(0, 0) }, "gap.to", 0, RuleGap},
		{"gap at seq 0 to max", func(s *slice) { s.Seq, s.Prev, s.Gap = 0, nil, gap(0, 1<<64-1) }, "gap.to", 0, RuleGap},
		{"gap to seq", func(s *slice) { s.Seq, s.Gap = 3, gap(1, 3) }, "gap.to", 0, RuleGap},
		{"gap to seq-2", func(s *slice) { s.Seq, s.Gap = 3, gap(1, 1) }, "gap.to", 0, RuleGap},
		{"gap from above to", func(s *slice) { s.Seq, s.Gap = 3, gap(3, 2) }, "gap.from", 0, RuleGap},
		{"reason empty", func(s *slice) { s.Seq, s.Gap = 3, &Gap{From: 2, To: 2} }, "gap.reason", 0, RuleReason},
		{"reason long", func(s *slice) { s.Seq, s.Gap = 3, &Gap{From: 2, To: 2, Reason: long} }, "gap.reason", 0, RuleReason},
		{"reason spaced", func(s *slice) { s.Seq, s.Gap = 3, &Gap{From: 2, To: 2, Reason: "a b"} }, "gap.reason", 2, RuleReason},
		{"dimension empty", func(s *slice) { s.Dimension = "" }, "dimension", 0, RuleDimension},
		{"dimension long", func(s *slice) { s.Dimension = long }, "dimension", 0, RuleDimension},
		{"dimension very long", func(s *slice) { s.Dimension = string(make([]byte, 70000)) }, "dimension", 0, RuleDimension},
		{"dimension upper", func(s *slice) { s.Dimension = "Bytes" }, "dimension", 1, RuleDimension},
		{"dimension digit first", func(s *slice) { s.Dimension = "0b" }, "dimension", 1, RuleDimension},
		{"dimension _ first", func(s *slice) { s.Dimension = "_b" }, "dimension", 1, RuleDimension},
		{"dimension dash", func(s *slice) { s.Dimension = "by-tes" }, "dimension", 3, RuleDimension},
		{"dimension not ASCII", func(s *slice) { s.Dimension = "byté" }, "dimension", 4, RuleDimension},
		{"dimension not UTF-8", func(s *slice) { s.Dimension = "byt\xff" }, "dimension", 4, RuleDimension},
		{"dimension NUL", func(s *slice) { s.Dimension = "b\x00" }, "dimension", 2, RuleDimension},
		{"window empty", func(s *slice) { s.WindowStartS = s.WindowEndS }, "window_start_s", 0, RuleWindow},
		{"window backwards", func(s *slice) { s.WindowStartS = 1<<64 - 1 }, "window_start_s", 0, RuleWindow},
		{"window 0,0", func(s *slice) { s.WindowStartS, s.WindowEndS = 0, 0 }, "window_start_s", 0, RuleWindow},
		{"inc 0 in the first row", func(s *slice) { s.rows[0].Inc = 0 }, "rows.0.2", 0, RuleInc},
		{"inc 0 in the last row", func(s *slice) { s.rows[2].Inc = 0 }, "rows.2.2", 0, RuleInc},
		{"rows equal", func(s *slice) { s.rows[1].Subject = s.rows[0].Subject; s.rows[1].Namespace = s.rows[0].Namespace }, "rows.1", 0, RuleRowOrder},
		{"ids descend", func(s *slice) { s.rows[1].Namespace = s.rows[2].Namespace; s.rows[1].Subject[0] = 0xff }, "rows.2", 0, RuleRowOrder},
		{"ids descend in the last byte", func(s *slice) { s.rows[1] = s.rows[2]; s.rows[1].Subject[15]++ }, "rows.2", 0, RuleRowOrder},
		{"namespaces descend", func(s *slice) { s.rows[1].Namespace = 1<<32 - 1 }, "rows.2", 0, RuleRowOrder},
		{"namespaces descend by their low byte", func(s *slice) { s.rows[1].Namespace = 0x1ff; s.rows[2].Namespace = 0x100 }, "rows.2", 0, RuleRowOrder},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := slice{Head{V: 1, Seq: 3, Prev: &Digest{1}, Dimension: "bytes", WindowStartS: 60, WindowEndS: 120},
				[]Row{{Namespace: 1, Inc: 1}, {Namespace: 1, Subject: ID{15: 1}, Inc: 300}, {Namespace: 200, Subject: ID{3}, Inc: 70000}}}
			if _, err := Encode(s.Head, s.rows); err != nil {
				t.Fatal("the case before its change: ", err)
			}
			c.change(&s)
			b := AppendHead(nil, &s.Head, len(s.rows))
			for i := range s.rows {
				b = AppendRow(b, &s.rows[i])
			}
			it := walk(b, 0)
			if rest, isRow := strings.CutPrefix(c.at, "rows."); isRow {
				it = it.get(b, "rows").kids[rest[0]-'0']
				if len(rest) > 1 {
					it = it.kids[rest[2]-'0']
				}
			} else {
				it = it.get(b, "head")
				if rest, isGap := strings.CutPrefix(c.at, "gap."); isGap {
					it = it.get(b, "gap").get(b, rest)
				} else {
					it = it.get(b, c.at)
				}
			}
			off := it.off + c.plus
			refused(t, "Decode", b, off, c.rule)
			_, err := Encode(s.Head, s.rows)
			wantRule(t, "Encode", err, off, c.rule)

			var e Encoder
			err = e.Begin(&s.Head, len(s.rows))
			if err == nil && c.rule != RuleInc { // the Encoder leaves rows without units out
				e.Append(s.rows)
				err = e.End()
			}
			if c.rule != RuleInc {
				wantRule(t, "Encoder", err, off, c.rule)
				if got := e.Seal(); len(got) != 0 || len(e.Buffer()) != 0 {
					t.Errorf("Encoder: kept %d slices, %d bytes", len(got), len(e.Buffer()))
				}
			}
		})
	}
}

func TestAcceptEdges(t *testing.T) {
	h := wideHead()
	s := must[SealedSlice](t)(Encode(h, nil))
	if len(s.Bytes()) != MaxHeadSize-2 { // no rows: their count is one byte, not three
		t.Errorf("the largest head has %d bytes, MaxHeadSize is %d", len(s.Bytes())+2, MaxHeadSize)
	}
	for _, h := range []Head{
		{Dimension: "b", WindowEndS: 1}, // heartbeat, V left out
		{V: 1, Seq: 1, Gap: &Gap{Reason: "r"}, Dimension: "b", WindowEndS: 1},
		{V: 1, Seq: 1, Prev: &Digest{}, Dimension: "z9_", WindowEndS: 1<<64 - 1},
	} {
		s := must[SealedSlice](t)(Encode(h, nil))
		h.V = 1
		if got := must[SealedSlice](t)(Decode(s.Bytes())); !reflect.DeepEqual(got.Head(), h) || got.Len() != 0 {
			t.Errorf("got %+v, want %+v", got.Head(), h)
		}
	}
}

// A slice of exactly MaxBytes is good, one more is not, and RowsAlwaysFit keeps its word.
func TestMaxBytes(t *testing.T) {
	rows := make([]Row, RowsAlwaysFit+1)
	for i := range rows {
		rows[i] = Row{Namespace: 1<<32 - 1, Subject: IDFromUint64(uint64(i)), Inc: 1<<64 - 1}
	}
	h := wideHead()
	must[SealedSlice](t)(Encode(h, rows[:RowsAlwaysFit]))
	for SizeHead(&h, len(rows))+len(rows)*MaxRowSize != MaxBytes { // shorten the head until it is exactly full
		h.Dimension = h.Dimension[1:]
		if h.Dimension = "d" + h.Dimension[1:]; len(h.Dimension) == 1 {
			t.Fatal("no dimension makes it exactly full")
		}
	}
	encoders := map[string]func() (SealedSlice, error){
		"Encode": func() (SealedSlice, error) { return Encode(h, rows) },
		"Encoder": func() (SealedSlice, error) {
			var e Encoder
			if err := e.Begin(&h, 0); err != nil {
				return SealedSlice{}, err
			}
			e.Append(rows)
			if err := e.End(); err != nil {
				return SealedSlice{}, err
			}
			return e.Seal()[0], nil
		},
	}
	for name, encode := range encoders {
		s := must[SealedSlice](t)(encode())
		if again := must[SealedSlice](t)(Decode(s.Bytes())); len(s.Bytes()) != MaxBytes || again.Len() != len(rows) {
			t.Errorf("%s: got %d bytes, %d rows", name, len(s.Bytes()), again.Len())
		}
	}
	h.Dimension += "d"
	for name, encode := range encoders {
		_, err := encode()
		wantRule(t, name+", one byte more", err, MaxBytes, RuleTooLarge)
	}
}

// Any one byte changed: refused, or another slice that encodes to just these bytes and has another digest.
func TestEveryByteChanged(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, b := range refuseInputs(t) {
		good := must[SealedSlice](t)(Decode(b))
		for i := range b {
			for range 40 {
				c := bytes.Clone(b)
				if c[i] = byte(r.Uint32()); c[i] == b[i] {
					continue
				}
				s, err := Decode(c)
				if err != nil {
					continue
				}
				again, err := Encode(s.Head(), rowsOf(s))
				if err != nil || !bytes.Equal(again.Bytes(), c) || s.Digest() == good.Digest() {
					t.Errorf("%s, byte %d = %02x: got %v, %s", name, i, c[i], err, hex.EncodeToString(again.Bytes()))
				}
			}
		}
	}
}
