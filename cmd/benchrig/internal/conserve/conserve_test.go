package conserve

import (
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/zeebo/blake3"
	"go.etcd.io/bbolt"
)

// encode writes a slice by the general library: maps in the order of DAG-CBOR, which is length first.
func encode(t *testing.T, seq uint64, prev *Digest, g *gap, rows ...row) ([]byte, Digest) {
	t.Helper()
	var link any
	if prev != nil {
		link = cbor.Tag{Number: 42, Content: append(append([]byte(nil), linkPrefix...), prev[:]...)}
	}
	var declared any
	if g != nil {
		declared = map[string]any{"from": g.From, "to": g.To, "units": g.Units, "reason": g.Reason}
	}
	list := []any{}
	for _, r := range rows {
		list = append(list, []any{r.Namespace, r.Subject, r.Inc})
	}
	mode, err := cbor.EncOptions{Sort: cbor.SortLengthFirst}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	body, err := mode.Marshal(map[string]any{
		"head": map[string]any{
			"v": 1, "gap": declared, "seq": seq, "prev": link, "tenant": id16(1), "writer": id16(2), "amnesia": true,
			"dimension": "bytes", "sealed_at_ms": 1000 + seq, "window_start_s": seq, "window_end_s": seq + 1,
		},
		"rows": list,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body, blake3.Sum256(body)
}

func id16(n byte) []byte {
	b := make([]byte, 16)
	b[15] = n
	return b
}

func chainOf(t *testing.T, incs ...uint64) (bodies [][]byte) {
	t.Helper()
	var prev *Digest
	for i, inc := range incs {
		body, d := encode(t, uint64(i), prev, nil, row{Namespace: 7, Subject: id16(9), Inc: inc})
		bodies, prev = append(bodies, body), &d
	}
	return bodies
}

func book(t *testing.T, bodies ...[]byte) *Book {
	t.Helper()
	b := NewBook()
	for _, body := range bodies {
		if err := b.Add(body); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

var theKey = Key{Tenant: [16]byte(id16(1)), Subject: [16]byte(id16(9)), Namespace: 7, Dimension: "bytes"}

func compare(b *Book, least, most uint64) Difference {
	return b.Compare(func(yield func(Expected) bool) { yield(Expected{Key: theKey, Least: least, Most: most}) })
}

func TestCompareCountsEveryUnit(t *testing.T) {
	chain := chainOf(t, 5, 10, 1)
	stranger, _ := encode(t, 0, nil, nil, row{Namespace: 8, Subject: id16(9), Inc: 3})
	for _, c := range []struct {
		name         string
		bodies       [][]byte
		least, most  uint64
		lost, double string
	}{
		{"exact", chain, 16, 16, "0", "0"},
		{"one unit lost", chain, 17, 17, "1", "0"},
		{"one unit doubled", chain, 15, 15, "0", "1"},
		{"a slice lost", chain[:2], 16, 16, "1", "0"},
		{"a slice stored twice", append(chain[:3:3], chain[1]), 16, 16, "0", "10"},
		{"a key nobody counted", [][]byte{stranger}, 0, 0, "0", "3"},
		{"within what a crash leaves open", chain, 15, 17, "0", "0"},
		{"nothing at all", nil, 16, 16, "16", "0"},
	} {
		d := compare(book(t, c.bodies...), c.least, c.most)
		if d.Lost.String() != c.lost || d.Double.String() != c.double {
			t.Errorf("%s: got lost %v double %v, want %s and %s", c.name, d.Lost, d.Double, c.lost, c.double)
		}
		if broken := c.lost != "0" || c.double != "0"; broken != (len(d.Examples) > 0) {
			t.Errorf("%s: examples %q", c.name, d.Examples)
		}
	}
}

func TestBreaks(t *testing.T) {
	chain := chainOf(t, 5, 10, 1)
	other, otherDigest := encode(t, 1, nil, nil, row{Namespace: 7, Subject: id16(9), Inc: 10})
	_, first := encode(t, 0, nil, nil, row{Namespace: 7, Subject: id16(9), Inc: 5})
	afterGap, _ := encode(t, 4, &first, &gap{From: 1, To: 3, Reason: "wal_corrupt"})
	wrongGap, _ := encode(t, 4, &first, &gap{From: 2, To: 3, Reason: "wal_corrupt"})
	wrongLink, _ := encode(t, 1, &otherDigest, nil)
	for _, c := range []struct {
		name   string
		bodies [][]byte
		want   string // "" holds
	}{
		{"whole", chain, ""},
		{"in any order of storage", [][]byte{chain[2], chain[0], chain[1]}, ""},
		{"declared gap", [][]byte{chain[0], afterGap}, ""},
		{"hole", [][]byte{chain[0], chain[2]}, "seq 2: want seq 1: slices are missing"},
		{"head missing", chain[1:], "seq 1: want seq 0: slices are missing"},
		{"twice", [][]byte{chain[0], chain[0]}, "it is there twice"},
		{"an earlier one twice", [][]byte{chain[0], chain[1], chain[0], chain[2]}, "seq 0: it is there twice"},
		{"no link", [][]byte{chain[0], other}, "no link"},
		{"other link", [][]byte{chain[0], wrongLink}, "is not the digest"},
		{"gap elsewhere", [][]byte{chain[0], wrongGap}, "declares a gap 2 to 3"},
	} {
		got := strings.Join(book(t, c.bodies...).Breaks(10), "; ")
		if strings.Contains(got, "; ") {
			t.Errorf("%s: one fault is told more than once: %q", c.name, got)
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A chain read in order keeps one slice, however long it is, and still knows which seqs it has.
func TestLongChainIsSmall(t *testing.T) {
	incs := make([]uint64, 3000)
	for i := range incs {
		incs[i] = 1
	}
	b := book(t, chainOf(t, incs...)...)
	for s, c := range b.chains {
		if len(c.held) != 1 || len(c.rest) != 0 || !c.has(0) || !c.has(2999) || c.has(3000) || len(b.Breaks(1)) > 0 {
			t.Errorf("stream %v: %d spans, %d apart, breaks %v", s, len(c.held), len(c.rest), b.Breaks(1))
		}
	}
}

// A changed byte anywhere in a stored slice is seen: as a broken chain, as other sums, or as no slice at all.
func TestEveryByteMatters(t *testing.T) {
	chain := chainOf(t, 5, 300, 70000)
	for i := range chain[1] {
		changed := append([]byte(nil), chain[1]...)
		changed[i] ^= 1
		b := NewBook()
		bad := false
		for _, body := range [][]byte{chain[0], changed, chain[2]} {
			bad = b.Add(body) != nil || bad
		}
		if !bad && len(b.Breaks(1)) == 0 {
			t.Errorf("byte %d of the second slice changed: nothing noticed", i)
		}
	}
}

func TestReadLedgerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := NewBook().ReadLedgerFile(path); err == nil {
		t.Error("a missing ledger reads without error")
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	var records []byte
	for _, body := range chainOf(t, 5, 10) {
		head := make([]byte, ledgerHeader)
		binary.BigEndian.PutUint32(head, uint32(len(body)))
		records = append(append(records, head...), body...)
	}
	put := func(value []byte) {
		if err := db.Update(func(tx *bbolt.Tx) error {
			log, err := tx.CreateBucketIfNotExists([]byte("log"))
			if err != nil {
				return err
			}
			chunk, err := log.CreateBucketIfNotExists([]byte("00000001"))
			if err != nil {
				return err
			}
			return chunk.Put([]byte("r"), value)
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(records)
	if err := NewBook().ReadLedgerFile(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("an open ledger: got %v, want in use", err)
	}
	db.Close()
	b := NewBook()
	if err := b.ReadLedgerFile(path); err != nil || b.Units(theKey) != 15 || b.Slices != 2 {
		t.Errorf("got %d units in %d slices, %v; want 15 in 2", b.Units(theKey), b.Slices, err)
	}
	if db, err = bbolt.Open(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	put(records[:len(records)-1])
	db.Close()
	if err := NewBook().ReadLedgerFile(path); err == nil {
		t.Error("a record that was cut short reads without error")
	}
}
