package canon

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// randUint has every width equally often, and the borders between them often.
func randUint(r *rand.Rand) uint64 {
	v := r.Uint64() >> r.IntN(64)
	switch r.IntN(8) {
	case 0:
		return []uint64{0, 1, 23, 24, 255, 256, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<64 - 1}[r.IntN(11)]
	case 1:
		return v & 0x1f
	}
	return v
}

func randID(r *rand.Rand) (id ID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	if r.IntN(4) == 0 { // share long prefixes
		clear(id[:15])
	}
	return id
}

// randRows returns n rows in order, their incs at least 1.
func randRows(r *rand.Rand, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Namespace: uint32(randUint(r)), Subject: randID(r), Inc: max(1, randUint(r))}
	}
	sortRows(rows)
	return slices.CompactFunc(rows, func(a, b Row) bool { return a.Compare(&b) == 0 })
}

func sortRows(rows []Row) { slices.SortFunc(rows, func(a, b Row) int { return a.Compare(&b) }) }

func randHead(r *rand.Rand) Head {
	h := Head{V: 1, Seq: randUint(r) >> 1, Tenant: randID(r), Writer: randID(r), Amnesia: r.IntN(2) == 0, Dimension: []string{"bytes", "requests", "cpu", "x", "disk_seconds_of_some_rather_long_name"}[r.IntN(5)],
		SealedAtMS: randUint(r), WindowStartS: randUint(r) >> 1}
	h.WindowEndS = h.WindowStartS + 1 + randUint(r)>>2
	if h.Seq > 0 && r.IntN(3) == 0 {
		h.Gap = &Gap{To: h.Seq - 1, From: (h.Seq - 1) >> r.IntN(64), Reason: "wal_corrupt"}
		if r.IntN(2) == 0 {
			u := randUint(r)
			h.Gap.Units = &u
		}
	}
	if h.Seq > 0 && (h.Gap == nil || h.Gap.From > 0) {
		h.Prev = new(Sum([]byte{byte(r.Uint32())}))
	}
	return h
}

// What the Encoder writes is what Encode writes, for any mixture of streams, calls and guesses.
func TestEncoderIsEncode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var e Encoder
	for round := range 300 {
		e.Reset(nil)
		var want []SealedSlice
		for range r.IntN(6) {
			h, rows := randHead(r), randRows(r, r.IntN(300)>>r.IntN(9))
			want = append(want, must[SealedSlice](t)(Encode(h, rows)))
			if err := e.Begin(&h, r.IntN(300)); err != nil {
				t.Fatal(err)
			}
			cut := r.IntN(len(rows) + 1)
			e.Append(rows[:cut])
			keys, incs := keysOf(r, rows[cut:])
			if n := e.AppendKeys(keys, incs, 1<<20); n != len(keys) {
				t.Fatalf("AppendKeys: got %d, want %d", n, len(keys))
			}
			if e.Len() != len(rows) {
				t.Fatalf("Len: got %d, want %d", e.Len(), len(rows))
			}
			if err := e.End(); err != nil {
				t.Fatal(err)
			}
		}
		got := e.Seal()
		if len(got) != len(want) {
			t.Fatalf("round %d: got %d slices, want %d", round, len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("round %d slice %d: got\n%+v\nwant\n%+v", round, i, got[i], want[i])
			}
		}
	}
}

// keysOf returns the keys of rows, and between them keys whose inc is 0.
func keysOf(r *rand.Rand, rows []Row) (keys []RowKey, incs []uint64) {
	for i := range rows {
		keys, incs = append(keys, MakeRowKey(rows[i].Namespace, rows[i].Subject)), append(incs, rows[i].Inc)
		next := rows[i]
		next.Subject[15]++
		if r.IntN(3) == 0 && next.Subject[15] != 0 && (i+1 == len(rows) || next.Compare(&rows[i+1]) < 0) {
			keys, incs = append(keys, MakeRowKey(next.Namespace, next.Subject)), append(incs, 0)
		}
	}
	return keys, incs
}

// A stream with more rows than a slice may have becomes a chain within one Seal.
func TestEncoderChain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rows := randRows(r, 1000)
	keys, incs := keysOf(r, rows)
	var e Encoder
	h := Head{Seq: 7, Prev: new(Digest), Dimension: "bytes", WindowEndS: 60}
	for first := true; len(keys) > 0; first = false {
		begin := e.BeginNext
		if first {
			begin = e.Begin
		}
		if err := begin(&h, 64); err != nil {
			t.Fatal(err)
		}
		n := e.AppendKeys(keys, incs, 64)
		if err := e.End(); err != nil {
			t.Fatal(err)
		}
		keys, incs = keys[n:], incs[n:]
		h.Seq++
	}
	got := e.Seal()
	if want := (len(rows) + 63) / 64; len(got) != want {
		t.Fatalf("got %d slices, want %d", len(got), want)
	}
	if err := VerifyChain(got); err != nil {
		t.Error(err)
	}
	var all []Row
	for i, s := range got {
		if again := must[SealedSlice](t)(Decode(s.Bytes())); !reflect.DeepEqual(s, again) {
			t.Errorf("slice %d: got %+v, decoded %+v", i, s, again)
		}
		all = append(all, rowsOf(s)...)
	}
	if !slices.Equal(all, rows) {
		t.Error("rows differ")
	}
}

// A skipped row in the wrong place is refused like a written one, and leaves no trace.
func TestEncoderSkippedRowOutOfOrder(t *testing.T) {
	var e Encoder
	h := Head{Dimension: "bytes", WindowEndS: 60}
	keys := []RowKey{MakeRowKey(1, ID{}), MakeRowKey(0, ID{}), MakeRowKey(2, ID{})}
	for _, incs := range [][]uint64{{1, 0, 1}, {0, 0, 0}, {1, 1, 1}} {
		for _, step := range []int{1, 3} { // in one call, and in several
			if err := e.Begin(&h, 3); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 3; i += step {
				e.AppendKeys(keys[i:i+step], incs[i:i+step], 100)
			}
			var se *SchemaError
			if err := e.End(); !errors.As(err, &se) || se.Rule != RuleRowOrder {
				t.Errorf("%v: got %v", incs, err)
			}
		}
	}
	if len(e.Seal()) != 0 || len(e.Buffer()) != 0 {
		t.Error("something was kept")
	}
}

// A gap's memory belongs to the caller again after Begin.
func TestEncoderOwnsGap(t *testing.T) {
	units := uint64(5)
	g := Gap{From: 1, To: 1, Units: &units, Reason: "shed"}
	h := Head{Seq: 2, Prev: &Digest{}, Gap: &g, Dimension: "bytes", WindowEndS: 60}
	s := must[SealedSlice](t)(Encode(h, nil))
	var e Encoder
	if err := errors.Join(e.Begin(&h, 0), e.End()); err != nil {
		t.Fatal(err)
	}
	units, g.Reason = 6, "x"
	for _, s := range append(e.Seal(), s) {
		if got := s.Head().Gap; *got.Units != 5 || got.Reason != "shed" {
			t.Errorf("got %+v", got)
		}
	}
}

// AppendKeys fills a slice up to MaxBytes, never beyond, and takes rows without units along.
func TestEncoderFillsMaxBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	rows := mixedRows(r, 60000)
	keys, incs := keysOf(r, rows)
	var e Encoder
	h := Head{Dimension: "bytes", WindowEndS: 60}
	var got []Row
	for first := true; len(keys) > 0; first = false {
		begin := e.Begin
		if !first {
			begin, h.Seq = e.BeginNext, h.Seq+1
		}
		if err := begin(&h, 10); err != nil {
			t.Fatal(err)
		}
		n := e.AppendKeys(keys, incs, 1<<20)
		if n < len(keys) && e.Size() <= MaxBytes-MaxRowSize {
			t.Errorf("stopped at %d bytes", e.Size())
		}
		if err := e.End(); err != nil {
			t.Fatal(err)
		}
		keys, incs = keys[n:], incs[n:]
	}
	sealed := e.Seal()
	for _, s := range sealed {
		got = append(got, rowsOf(must[SealedSlice](t)(Decode(s.Bytes())))...)
	}
	if err := VerifyChain(sealed); err != nil || len(sealed) < 2 || !slices.Equal(got, rows) {
		t.Errorf("got %v, %d slices, %d rows, want %d", err, len(sealed), len(got), len(rows))
	}
}

// In the steady state neither sealing nor viewing allocates.
func TestNoAllocations(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	rows := mixedRows(r, 500)
	keys, incs := keysOf(r, rows)
	h := benchHead()
	var e Encoder
	var view []byte
	seal := func() {
		e.Reset(nil)
		for i := range 5 {
			begin := e.Begin
			if i == 1 {
				begin = e.BeginNext
			}
			if begin(&h, 4*i) != nil {
				t.Fatal("Begin")
			}
			e.Append(rows[:100])
			e.AppendKeys(keys[200:], incs[200:], 1000)
			if e.End() != nil {
				t.Fatal("End")
			}
		}
		view = e.Seal()[0].Bytes()
	}
	seal()
	if n := testing.AllocsPerRun(100, seal); n != 0 {
		t.Errorf("sealing: %v allocations", n)
	}
	var units uint64
	if n := testing.AllocsPerRun(100, func() {
		s, err := View(view)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range s.Rows() {
			units += row.Inc
		}
	}); n != 0 {
		t.Errorf("viewing: %v allocations", n)
	}
}
