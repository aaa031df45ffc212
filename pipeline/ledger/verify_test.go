package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// filled makes a closed ledger of some chains, one of them with a gap.
func filled(t testing.TB) (path string, all []canon.SealedSlice) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "l")
	l, err := ledger.Open(path, ledger.Options{MaxBytes: 4 << 20}) // a small bound makes it grow in small steps
	if err != nil {
		t.Fatal(err)
	}
	chains := make([]*exporttest.Chain, 20)
	for i := range chains {
		chains[i] = exporttest.NewChain(exporttest.Stream("filled", i), 1+i%7)
	}
	for round := range 12 {
		var batch []canon.SealedSlice
		for i, c := range chains {
			if round == 5 && i == 3 {
				batch = append(batch, c.Gap(4, nil))
			} else {
				batch = append(batch, c.Next())
			}
		}
		for _, r := range l.PutBatch(context.Background(), batch) {
			if r.Ack != export.AckOK {
				t.Fatal(r.Err)
			}
		}
		all = append(all, batch...)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path, all
}

func TestVerifyFindsAnyChangedByte(t *testing.T) {
	path, all := filled(t)
	rep, err := ledger.Verify(context.Background(), path)
	if err != nil || len(rep.Breaks) != 0 || rep.Slices != uint64(len(all)) || rep.Streams != 20 || rep.Gaps != 1 {
		t.Fatalf("got %+v, %v", rep, err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	rng := rand.New(rand.NewPCG(1, 2))
	for _, sl := range all {
		at := bytes.Index(file, sl.Bytes())
		if at < 0 {
			t.Fatal("a slice's bytes are not in the file")
		}
		for range 3 {
			off := at - ledger.HeaderSize + rng.IntN(ledger.HeaderSize+len(sl.Bytes())) // in the record's header too
			file[off] ^= 1 << rng.IntN(8)
			if err := os.WriteFile(bad, file, 0o600); err != nil {
				t.Fatal(err)
			}
			copy(file[at-ledger.HeaderSize:], readBack(t, path, at-ledger.HeaderSize, ledger.HeaderSize+len(sl.Bytes())))
			rep, err := ledger.Verify(context.Background(), bad)
			if err != nil || len(rep.Breaks) == 0 {
				t.Fatalf("offset %d: got %+v, %v, want a break", off, rep, err)
			}
			if off >= at { // in the slice itself: the stream and the seq are named
				if b := rep.Breaks[0]; b.Stream != export.StreamOf(sl.Head()) || b.Seq != sl.Head().Seq || b.Chunk == 0 {
					t.Fatalf("offset %d in seq %d: got %v", off, sl.Head().Seq, b)
				}
			}
		}
	}
}

func readBack(t testing.TB, path string, off, n int) []byte {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, int64(off)); err != nil {
		t.Fatal(err)
	}
	return b
}

// A change anywhere, in bbolt's pages too, is an error or a break or harmless; it never ends the process.
func TestDamagedPagesDoNotCrash(t *testing.T) {
	if raceEnabled { // which has checkptr end the process where bbolt takes a slice, not yet read, beyond a damaged page
		t.Skip("bbolt's own pointers under checkptr")
	}
	path, _ := filled(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	rng := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		b := bytes.Clone(file)
		for range 1 + rng.IntN(40) {
			b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
		}
		page := rng.IntN(len(b)/4096) * 4096 // and the head of one page
		for i := range 16 {
			b[page+i] = byte(rng.Uint32())
		}
		if rng.IntN(4) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Verify(context.Background(), bad); err != nil && !errors.Is(err, ledger.ErrCorrupt) && !errors.Is(err, ledger.ErrNotLedger) && !errors.Is(err, ledger.ErrVersion) {
			t.Logf("%v", err)
		}
	}
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	try := func(path string, o ledger.Options) error {
		l, err := ledger.Open(path, o)
		if err == nil {
			_ = l.Close()
		}
		return err
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("SQLite format 3\x00 and so on, for longer than a page's head"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(try(text, ledger.Options{}), ledger.ErrNotLedger)
	if err := try(text, ledger.Options{}); strings.Contains(err.Error(), "SQLite") {
		t.Errorf("%v shows what is in the file", err)
	}
	is(try(dir, ledger.Options{}), ledger.ErrNotLedger)
	is(try(filepath.Join(dir, "none"), ledger.Options{ReadOnly: true}), fs.ErrNotExist)
	is(try(filepath.Join(dir, "no", "dir"), ledger.Options{}), fs.ErrNotExist)
	if try(filepath.Join(dir, "x"), ledger.Options{MaxBytes: 1, MapBytes: -1}) == nil {
		t.Error("bad options were taken")
	}
	other := filepath.Join(dir, "other")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	is(try(other, ledger.Options{}), ledger.ErrNotLedger)

	l, path := open(t, ledger.Options{})
	is(try(path, ledger.Options{LockWait: -1}), ledger.ErrInUse)
	is(try(path, ledger.Options{LockWait: -1, ReadOnly: true}), ledger.ErrInUse)
	if err := l.DB().Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("ron-accounting ledger\x00\x00\x00\x00\x02"))
	}); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	is(try(path, ledger.Options{}), ledger.ErrVersion)
	if _, err := l.Put(context.Background(), exporttest.NewChain(exporttest.Stream("c", 0), 1).Next()); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

func TestFailedCommitIsNeverAcked(t *testing.T) {
	l, _ := open(t, ledger.Options{})
	c := exporttest.NewChain(exporttest.Stream("fail", 0), 1)
	all := c.Take(2)
	eio := errors.New("input/output error")
	l.SetCommit(func(tx *bbolt.Tx) error { return errors.Join(eio, tx.Rollback()) })
	for range 2 {
		if ack, err := l.Put(context.Background(), all[0]); ack != 0 || !errors.Is(err, ledger.ErrFailed) || !errors.Is(err, eio) {
			t.Fatalf("got %v, %v", ack, err)
		}
	}
	l.SetCommit((*bbolt.Tx).Commit)
	if _, err := l.Put(context.Background(), all[0]); !errors.Is(err, ledger.ErrFailed) {
		t.Fatalf("taken after a failed sync: %v", err)
	}
	if _, _, _, err := l.Tip(context.Background(), c.Stream); !errors.Is(err, ledger.ErrFailed) {
		t.Fatalf("tip after a failed sync: %v", err)
	}
}

func TestFull(t *testing.T) {
	l, _ := open(t, ledger.Options{MaxBytes: 1 << 20})
	c := exporttest.NewChain(exporttest.Stream("full", 0), 1000)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = l.Put(context.Background(), c.Next())
	}
	if !errors.Is(err, ledger.ErrFull) {
		t.Fatalf("got %v after %d, want ErrFull", err, n)
	}
	if got := len(held(t, l, c.Stream)); got != n-1 {
		t.Fatalf("holds %d, acked %d", got, n-1)
	}
}

func TestUsageIsExact(t *testing.T) {
	l, _ := open(t, ledger.Options{})
	var all []canon.SealedSlice
	for i := range 9 {
		all = append(all, exporttest.NewChain(exporttest.Stream("usage", i), 3).Take(20)...)
	}
	h := canon.Head{V: 1, Tenant: canon.IDFromUint64(99), Dimension: "bytes", WindowStartS: 1, WindowEndS: 2, SealedAtMS: 2000}
	huge, err := canon.Encode(h, []canon.Row{{Namespace: 1, Inc: 1<<64 - 1}, {Namespace: 2, Inc: 1<<64 - 1}})
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, huge)
	for _, r := range l.PutBatch(context.Background(), all) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, g := range []ledger.Group{0, ledger.ByTenant, ledger.BySubject, ledger.ByDimension, ledger.ByWindow, ledger.ByTenant | ledger.BySubject | ledger.ByWindow | ledger.ByWriter} {
		for _, q := range []ledger.Query{{Group: g}, {Group: g, From: 1_700_000_005, To: 1_700_000_011}} {
			rows, err := l.Usage(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			got, want := new(big.Int), new(big.Int)
			for _, r := range rows {
				got.Add(got, r.Units)
			}
			for _, sl := range all {
				if e := sl.Head().WindowEndS; e > q.From && (q.To == 0 || e <= q.To) {
					for _, row := range sl.Rows() {
						want.Add(want, new(big.Int).SetUint64(row.Inc))
					}
				}
			}
			if got.Cmp(want) != 0 {
				t.Errorf("group %v from %d to %d: got %v, want %v", g, q.From, q.To, got, want)
			}
		}
	}
	c, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-c.Done()
	if _, err := l.Usage(c, ledger.Query{}); !errors.Is(err, export.ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
	if _, err := l.Usage(context.Background(), ledger.Query{Group: ledger.BySubject, MaxGroups: 2}); !errors.Is(err, ledger.ErrQueryTooLarge) {
		t.Errorf("got %v, want ErrQueryTooLarge", err)
	}
}
