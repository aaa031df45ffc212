package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/crash"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// asBenchrig makes the test's own program benchrig: what crash starts is os.Executable.
const asBenchrig = "BENCHRIG_TEST_AS_BENCHRIG"

func TestMain(m *testing.M) {
	if os.Getenv(asBenchrig) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestCrash(t *testing.T) {
	if raceEnabled {
		t.Skip("no counter file under the race detector")
	}
	t.Setenv(asBenchrig, "1")
	const n = "100"
	file := filepath.Join(t.TempDir(), "crash.json")
	code, stdout, stderr := exec(t, "crash", "--iterations", n, "--json", file)
	if code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r crash.Result
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if !r.Pass || r.Epoch == 0 || r.Slices == 0 || r.Least == "0" {
		t.Errorf("%s", b)
	}
	t.Log(stdout)
}

func TestPowerCut(t *testing.T) {
	if raceEnabled {
		t.Skip("no counter file under the race detector")
	}
	t.Setenv(asBenchrig, "1")
	code, stdout, stderr := exec(t, "crash", "--power-cut", "--iterations", "20")
	if code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if strings.HasPrefix(stdout, "SKIPPED") {
		t.Skip(stdout)
	}
	t.Log(stdout)
}

// downSink refuses everything.
type downSink struct{}

func (downSink) Put(context.Context, canon.SealedSlice) (export.Ack, error) {
	return 0, &export.RemoteError{Op: "put", Status: 503, Err: errors.New("down")}
}

// fill leaves a WAL with slices pending, and returns their units.
func fill(t *testing.T, dir string, sink accounting.Exporter, n int) {
	t.Helper()
	rec, err := accounting.Open(accounting.Options{
		Profile: accounting.Macronode, WAL: &wal.Options{Dir: dir, MaxBytes: 8 << 20}, DrainDeadline: 100 * time.Millisecond,
		Sinks: []accounting.Sink{{Name: "ledger", Exporter: sink}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		k := accounting.Key{Tenant: canon.IDFromUint64(uint64(i % 2)), Subject: canon.IDFromUint64(7)}
		if err := rec.Record(k, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
		if _, err := rec.SealNow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var de *accounting.DrainError
	if err := rec.Close(ctx); err != nil && !errors.As(err, &de) {
		t.Fatal(err)
	}
}

func TestInspectVerifyAdopt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	fill(t, dir, downSink{}, 6)
	code, out, errs := exec(t, "inspect", "--json", dir)
	var r walReport
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if r.Pending != 6 || len(r.Streams) != 2 || r.Streams[0].Next != 3 || r.Streams[0].Units != "9" && r.Streams[0].Units != "12" || r.WindowS != 300 || len(r.Dimensions) != 3 || len(r.Damage) != 0 {
		t.Errorf("%+v", r)
	}
	if code, out, _ := exec(t, "inspect", dir); code != exitOK || !strings.Contains(out, "6 slices pending of 2 streams") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, errs := exec(t, "inspect", t.TempDir()); code != exitUsage || !strings.Contains(errs, "without a WAL") {
		t.Errorf("inspect of an empty directory: exit %d\n%s", code, errs)
	}
	if code, out, errs := exec(t, "verify", dir); code != exitOK || !strings.Contains(out, "every chain holds") {
		t.Errorf("verify: exit %d\n%s%s", code, out, errs)
	}

	if code, _, _ := exec(t, "adopt", dir); code != exitUsage {
		t.Errorf("adopt without --new-writer: exit %d", code)
	}
	if code, out, errs := exec(t, "adopt", "--new-writer", dir); code != exitOK {
		t.Errorf("adopt: exit %d\n%s%s", code, out, errs)
	}
	in, err := wal.Inspect(wal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	after := reportWAL(dir, in)
	if after.Writer == r.Writer || after.Pending != 6 {
		t.Errorf("after adopt: writer %s (was %s), %d pending", after.Writer, r.Writer, after.Pending)
	}
	// The old writer's slices are put under its id, and new ones under the new id.
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, l, 2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	book := conserve.NewBook()
	if err := book.ReadLedgerFile(path); err != nil {
		t.Fatal(err)
	}
	if b := book.Breaks(3); book.Slices != 8 || book.Streams() != 4 || len(b) > 0 {
		t.Errorf("%d slices of %d streams, breaks %v; want 8 of 4", book.Slices, book.Streams(), b)
	}

	// Damage is found and does not crash anything.
	fill(t, dir, downSink{}, 4)
	names, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(string(b), "dimension"); i > 0 {
			b[i] ^= 1
			if err := os.WriteFile(n, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, out, _ := exec(t, "verify", dir); code != exitLoss || !strings.Contains(out, "missing") {
		t.Errorf("verify of a damaged directory: exit %d\n%s", code, out)
	}
}

// A copy of a directory with slices pending, whose original has gone on: refused, and after adopt it opens, and nothing is lost or doubled.
func TestAdoptCloneWithPending(t *testing.T) {
	dir := t.TempDir()
	first, clone, path := filepath.Join(dir, "first"), filepath.Join(dir, "clone"), filepath.Join(dir, "ledger.db")
	fill(t, first, downSink{}, 6)
	if err := os.CopyFS(clone, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, first, l, 4)
	o := accounting.Options{Profile: accounting.Macronode, WAL: &wal.Options{Dir: clone, MaxBytes: 8 << 20}, Sinks: []accounting.Sink{{Name: "ledger", Exporter: l}}}
	if _, err := accounting.Open(o); err == nil || !strings.Contains(err.Error(), "adopt --new-writer") {
		t.Fatalf("the clone: got %v, want a refusal that names adopt", err)
	}
	if code, out, errs := exec(t, "adopt", "--new-writer", clone); code != exitOK {
		t.Fatalf("adopt: exit %d\n%s%s", code, out, errs)
	}
	fill(t, clone, l, 2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	book := conserve.NewBook()
	if err := book.ReadLedgerFile(path); err != nil {
		t.Fatal(err)
	}
	if b := book.Breaks(3); book.Slices != 6+4+2 || book.Streams() != 4 || len(b) > 0 {
		t.Errorf("%d slices of %d streams, breaks %v; want 12 of 4", book.Slices, book.Streams(), b)
	}
	in, err := wal.Inspect(wal.Options{Dir: clone})
	if err != nil || len(in.Pending) != 0 {
		t.Errorf("%d slices pending in the clone, %v; want none", len(in.Pending), err)
	}
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
	l, err := ledger.Open(from, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "wal"), l, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "archive")
	for i, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", from, "--to", "car:" + archive, "--dry-run"}, "would put 5 slices of 2 streams"},
		{[]string{"--from", from, "--to", "ledger:" + to, "--dry-run"}, "would put 5 slices of 2 streams"},
		{[]string{"--from", from, "--to", "car:" + archive}, "put 5 slices of 2 streams"},
		{[]string{"--from", from, "--to", "car:" + archive, "--dry-run"}, "would put 0 slices of 0 streams; 2 of 2 streams were whole"},
		{[]string{"--from", from, "--to", "car:" + archive}, "put 0 slices of 0 streams; 2 of 2 streams were whole"},
		{[]string{"--from", archive, "--to", "ledger:" + to}, "put 5 slices of 2 streams"},
		{[]string{"--from", from, "--to", to, "--dry-run"}, "would put 0 slices"},
	} {
		if code, out, errs := exec(t, append([]string{"replay"}, c.args...)...); code != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("replay %v: exit %d, want %q\n%s%s", c.args, code, c.want, out, errs)
		}
		for _, path := range []string{archive, to} {
			if _, err := os.Stat(path); err == nil && c.args[len(c.args)-1] == "--dry-run" && i < 2 {
				t.Errorf("replay %v made %s", c.args, path)
			}
		}
	}
	if code, out, errs := exec(t, "verify", archive); code != exitOK || !strings.Contains(out, "CAR archive, 2 streams, 5 slices") || !strings.Contains(out, "every chain holds") {
		t.Errorf("verify of a directory of CAR files: exit %d\n%s%s", code, out, errs)
	}
	wals := filepath.Join(dir, "down")
	fill(t, wals, downSink{}, 4)
	if code, out, errs := exec(t, "replay", "--from", wals, "--to", to); code != exitOK || !strings.Contains(out, "put 4 slices of 2 streams") {
		t.Errorf("replay from a WAL: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := exec(t, "replay", "--from", to, "--to", "ftp://nowhere"); code != exitUsage || !strings.Contains(errs, "ftp") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	// Another slice where the sink's tip is: nothing of that stream is put.
	forged := filepath.Join(dir, "forged.db")
	l, err = ledger.Open(forged, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := ledger.Open(from, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range src.All() {
		if err != nil {
			t.Fatal(err)
		}
		h := s.Head()
		if h.Seq == 0 {
			h.SealedAtMS++
			other, err := canon.Encode(h, []canon.Row{{Inc: 1}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Put(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(l.Close(), src.Close()); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := exec(t, "replay", "--from", from, "--to", forged); code != exitLoss || !strings.Contains(out, "another slice") {
		t.Errorf("replay over a conflict: exit %d\n%s", code, out)
	}
}
