package oracle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/ron-accounting/ron-accounting/canon"
)

// draw reads a value out of bytes: whatever they are, it is some value, and often one that breaks a rule.
type draw struct{ b []byte }

func (d *draw) byte() byte {
	if len(d.b) == 0 {
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

func (d *draw) below(n int) int { return int(d.byte()) % n }

// uint draws a number, of every width about equally often, and often an edge.
func (d *draw) uint() uint64 {
	k := d.below(2 * len(edges))
	if k < len(edges) {
		return edges[k]
	}
	var b [8]byte
	for i := range b {
		b[i] = d.byte()
	}
	return binary.LittleEndian.Uint64(b[:]) >> (5 * uint(k-len(edges)))
}

func (d *draw) id() (id canon.ID) {
	fill := d.byte()
	for i := range id {
		id[i] = fill
	}
	id[d.below(16)] = d.byte()
	return id
}

func (d *draw) name() string {
	return []string{"bytes", "a", "wal_corrupt", longest("q"), "", "Bad", "1x", longest("q") + "z", "ok_2"}[d.below(40)%9]
}

func (d *draw) value() (v value) {
	h := &v.head
	h.V = uint64(d.byte()&127) / 126
	h.Seq, h.Tenant, h.Writer, h.Amnesia, h.Dimension = d.uint(), d.id(), d.id(), d.byte()&1 != 0, d.name()
	h.SealedAtMS, h.WindowStartS = d.uint(), d.uint()
	h.WindowEndS = h.WindowStartS + d.uint()
	flags := d.byte()
	if h.Seq > 0 && flags&3 == 0 {
		h.Gap = &canon.Gap{To: h.Seq - 1, From: d.uint(), Reason: d.name()}
		h.Gap.From %= h.Gap.To + 1
		if flags&4 != 0 {
			h.Gap.Units = new(d.uint())
		}
		if flags&0xf0 == 0 {
			h.Gap.To = d.uint()
		}
	}
	if first := h.Seq == 0 || h.Gap != nil && h.Gap.From == 0; first == (flags&0xf8 == 0x08) {
		h.Prev = &canon.Digest{d.byte(), 31: d.byte()}
	}
	mess := d.byte()
	for n := int(d.byte()) * (1 + int(mess&7)/7*20); n > 0 && len(d.b) > 0; n-- {
		v.rows = append(v.rows, canon.Row{Namespace: uint32(d.uint()), Subject: d.id(), Inc: max(1, d.uint())})
	}
	order := func(a, b canon.Row) int { return a.Compare(&b) }
	if mess>>3 != 1 {
		slices.SortFunc(v.rows, order)
	}
	if mess>>3 != 2 {
		v.rows = slices.CompactFunc(v.rows, func(a, b canon.Row) bool { return order(a, b) == 0 })
	}
	if mess>>3 == 3 && len(v.rows) > 0 {
		v.rows[d.below(len(v.rows))].Inc = 0
	}
	return v
}

// checkEncode: canon writes v exactly where the peers' bytes of it are a slice by the judge, and then the same bytes.
func checkEncode(t testing.TB, v value) (accepted bool) {
	t.Helper()
	want := fxEncode(t, v)
	verdict := judge(want)
	got, err := canon.Encode(v.head, v.rows)
	if (err == nil) != (verdict == nil) {
		t.Fatalf("Encode: %v; the oracle: %v\n%x", err, verdict, want)
	}
	var se *canon.SchemaError
	if err != nil {
		if !errors.As(err, &se) {
			t.Fatalf("Encode: %v is no *SchemaError", err)
		}
		return false
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("Encode: got\n%x, fxamacker writes\n%x", got.Bytes(), want)
	}
	if other := ipldEncode(t, v); !bytes.Equal(got.Bytes(), other) {
		t.Fatalf("Encode: got\n%x, go-ipld-prime writes\n%x", got.Bytes(), other)
	}
	if d := blake3.Sum256(want); got.Digest() != d || got.Digest().CID() != cidOf(t, d).String() {
		t.Fatalf("got digest %s, CID %s, zeebo %x, go-cid %s", got.Digest(), got.Digest().CID(), d, cidOf(t, d))
	}
	checkDecode(t, want)
	return true
}

// checkDecode: canon reads b exactly where the judge takes it, and then says the same.
func checkDecode(t testing.TB, b []byte) (accepted bool) {
	t.Helper()
	s, err := canon.View(b)
	verdict := judge(b)
	if (err == nil) != (verdict == nil) {
		t.Fatalf("View: %v; the oracle: %v\n%x", err, verdict, b)
	}
	if err != nil {
		var se *canon.SchemaError
		if !errors.As(err, &se) || se.Offset < 0 || se.Offset > len(b) || se.Rule == "" {
			t.Fatalf("View: %#v says no offset or rule", err)
		}
		return false
	}
	v := value{head: s.Head()}
	for _, r := range s.Rows() {
		v.rows = append(v.rows, r)
	}
	if again := fxEncode(t, v); !bytes.Equal(again, b) {
		t.Fatalf("View read values that fxamacker writes as\n%x, not as\n%x", again, b)
	}
	if again, err := ipldAgain(b); err != nil || !bytes.Equal(again, b) {
		t.Fatalf("go-ipld-prime: %v, writes\n%x, not\n%x", err, again, b)
	}
	return true
}

// seeds are the encodings of the vectors' cases.
func seeds(t testing.TB) (bs [][]byte) {
	for _, n := range append(singles(), widths()...) {
		if len(n.rows) < 30 {
			bs = append(bs, fxEncode(t, n.value))
		}
	}
	return bs
}

// mutate changes a few bytes of b: sets, inserts, removes, doubles.
func mutate(r *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + r.IntN(2) {
		at := r.IntN(len(b))
		switch r.IntN(6) {
		case 0:
			b[at] = byte(r.Uint32())
		case 1:
			b[at] ^= 1 << r.IntN(8)
		case 2:
			b[at] += byte(r.IntN(3)) - 1
		case 3:
			b = slices.Insert(b, at, byte(r.Uint32()))
		case 4:
			if b = slices.Delete(b, at, min(at+1+r.IntN(3), len(b))); len(b) == 0 {
				b = []byte{0xa2}
			}
		case 5:
			end := min(at+1+r.IntN(20), len(b))
			b = slices.Insert(b, end, b[at:end]...)
		}
	}
	return b
}

func TestEncodeAgreesWithPeers(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var took, refused int
	for range 4000 {
		in := make([]byte, 60+r.IntN(600))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		if checkEncode(t, (&draw{in}).value()) {
			took++
		} else {
			refused++
		}
	}
	if took < 500 || refused < 500 {
		t.Errorf("%d values accepted, %d refused: the draw is one-sided", took, refused)
	}
}

func TestDecodeAgreesWithPeers(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	all := seeds(t)
	var took, refused int
	for _, b := range all {
		checkDecode(t, b)
		for range 150 {
			if checkDecode(t, mutate(r, b)) {
				took++
			} else {
				refused++
			}
		}
	}
	if took < 1000 || refused < 1000 {
		t.Errorf("%d mutants accepted, %d refused: the mutation is one-sided", took, refused)
	}
}

func FuzzEncode(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 20 {
		in := make([]byte, 400)
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkEncode(t, (&draw{in}).value()) })
}

func FuzzDecode(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkDecode(t, b) })
}
