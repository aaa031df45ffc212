package canon

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
)

// vector is one case of testdata: made by encoders that are not ours. testing/performance/oracle, a module of its own, writes
// testdata/vectors (go test -run TestVectors -update there) and checks that they are current.
type vector struct {
	Name   string `json:"name"`
	Hex    string `json:"hex"`
	B3     string `json:"b3"`
	CID    string `json:"cid"`
	Fields struct {
		Seq  string  `json:"seq"`
		Prev *string `json:"prev"`
		Gap  *struct {
			From, To json.Number
			Units    *string
			Reason   string
		} `json:"gap"`
		Tenant       string `json:"tenant"`
		Writer       string `json:"writer"`
		Amnesia      bool   `json:"amnesia"`
		Dimension    string `json:"dimension"`
		SealedAtMS   string `json:"sealed_at_ms"`
		WindowEndS   string `json:"window_end_s"`
		WindowStartS string `json:"window_start_s"`
	} `json:"fields"`
	Rows [][3]string `json:"rows"`
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (v *vector) bytes(t testing.TB) []byte { return must[[]byte](t)(hex.DecodeString(v.Hex)) }

// value builds the head and the rows from the vector's fields, not from its bytes.
func (v *vector) value(t testing.TB) (h Head, rows []Row) {
	num := func(s string) uint64 { t.Helper(); return must[uint64](t)(strconv.ParseUint(s, 10, 64)) }
	id := func(s string) ID { t.Helper(); return must[ID](t)(ParseID(s)) }
	f := &v.Fields
	h = Head{V: 1, Seq: num(f.Seq), Tenant: id(f.Tenant), Writer: id(f.Writer), Amnesia: f.Amnesia, Dimension: f.Dimension,
		SealedAtMS: num(f.SealedAtMS), WindowStartS: num(f.WindowStartS), WindowEndS: num(f.WindowEndS)}
	if f.Prev != nil {
		d := must[Digest](t)(ParseCID(*f.Prev))
		h.Prev = &d
	}
	if g := f.Gap; g != nil {
		h.Gap = &Gap{From: num(g.From.String()), To: num(g.To.String()), Reason: g.Reason}
		if g.Units != nil {
			u := num(*g.Units)
			h.Gap.Units = &u
		}
	}
	for _, r := range v.Rows {
		rows = append(rows, Row{Namespace: uint32(num(r[0])), Subject: id(r[1]), Inc: num(r[2])})
	}
	return h, rows
}

func readVectors(t testing.TB, path string) (vs []vector) {
	t.Helper()
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(path)), &vs); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(vs) == 0 {
		t.Fatalf("%s: no vectors", path)
	}
	return vs
}

// allVectors returns every vector below testdata.
func allVectors(t testing.TB) (vs []vector) {
	t.Helper()
	vs = readVectors(t, "testdata/vectors.json")
	for _, f := range must[[]string](t)(filepath.Glob("testdata/vectors/*.json")) {
		vs = append(vs, readVectors(t, f)...)
	}
	return vs
}

func rowsOf(s SealedSlice) (rows []Row) {
	for i, r := range s.Rows() {
		if i != len(rows) {
			panic("index")
		}
		rows = append(rows, r)
	}
	return rows
}

func TestVectors(t *testing.T) {
	for _, v := range allVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			b := v.bytes(t)
			h, rows := v.value(t)
			for name, s := range map[string]SealedSlice{
				"Decode":     must[SealedSlice](t)(Decode(b)),
				"View":       must[SealedSlice](t)(View(b)),
				"ViewSummed": must[SealedSlice](t)(ViewSummed(b, Sum(b))),
				"Encode":     must[SealedSlice](t)(Encode(h, rows)),
				"Clone":      must[SealedSlice](t)(View(b)).Clone(),
			} {
				if string(s.Bytes()) != string(b) {
					t.Errorf("%s: got bytes\n%x, want\n%x", name, s.Bytes(), b)
				}
				if got := s.Digest().String(); got != v.B3 {
					t.Errorf("%s: got digest %s, want %s", name, got, v.B3)
				}
				if got := s.Digest().CID(); got != v.CID {
					t.Errorf("%s: got CID %s, want %s", name, got, v.CID)
				}
				if !reflect.DeepEqual(s.Head(), h) {
					t.Errorf("%s: got head %+v, want %+v", name, s.Head(), h)
				}
				if got := rowsOf(s); !reflect.DeepEqual(got, rows) || s.Len() != len(rows) {
					t.Errorf("%s: got %d rows, want %d, or other values", name, s.Len(), len(rows))
				}
			}
			if d, err := ParseCID(v.CID); err != nil || d.String() != v.B3 {
				t.Errorf("ParseCID: got %v, %v, want %s", d, err, v.B3)
			}
			if d, err := ParseDigest(v.B3); err != nil || d.CID() != v.CID {
				t.Errorf("ParseDigest: got %v, %v", d, err)
			}
		})
	}
}

func TestVectorsChain(t *testing.T) {
	var chain []SealedSlice
	for _, v := range readVectors(t, "testdata/vectors.json") {
		chain = append(chain, must[SealedSlice](t)(Decode(v.bytes(t))))
	}
	if err := VerifyChain(chain); err != nil {
		t.Fatal(err)
	}
	var ce *ChainError
	if err := VerifyChain([]SealedSlice{chain[0], chain[2]}); !errors.As(err, &ce) || ce.Index != 1 || ce.Rule != ChainGap {
		t.Errorf("without its middle: got %v, want slice 1, %q", err, ChainGap)
	}
}

// The chains of the independent encoder hold as they are, and from the stream's beginning.
func TestVectorsChains(t *testing.T) {
	for file, want := range map[string]int{"chain.json": 5, "chain_from_gap.json": 2} {
		c := Chain{FromStart: true}
		for _, v := range readVectors(t, "testdata/vectors/"+file) {
			if err := c.Append(must[SealedSlice](t)(Decode(v.bytes(t)))); err != nil {
				t.Errorf("%s: %s: %v", file, v.Name, err)
			}
		}
		if c.Len() != want {
			t.Errorf("%s: got a chain of %d slices, want %d", file, c.Len(), want)
		}
	}
}

// The files hold the cases that the format is specified by.
func TestVectorsComplete(t *testing.T) {
	have := map[string]bool{}
	for _, v := range allVectors(t) {
		have[v.Name] = true
	}
	for _, name := range []string{"one row", "empty heartbeat", "max values", "every ns with every inc", "4096 rows", "chain 2", "behind a gap, units unknown", "the first slices lost"} {
		if !have[name] {
			t.Errorf("no vector %q below testdata: see testing/performance/oracle/doc.go for how they are made", name)
		}
	}
}

// A clone lives on when the bytes it was viewed in are reused; so does what Decode returns.
func TestCloneOwnsItsBytes(t *testing.T) {
	v := readVectors(t, "testdata/vectors.json")[1]
	b := v.bytes(t)
	d, c := must[SealedSlice](t)(Decode(b)), must[SealedSlice](t)(View(b)).Clone()
	clear(b)
	h, _ := v.value(t)
	for _, s := range []SealedSlice{d, c} {
		if !reflect.DeepEqual(s.Head(), h) || hex.EncodeToString(s.Bytes()) != v.Hex || s.Digest() != Sum(s.Bytes()) {
			t.Errorf("changed with the bytes it came from: %+v", s.Head())
		}
	}
}
