package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/pprof"
)

// A capture leaves profiles that can be read, their graphs, and a description of both, below the directory asked for and nowhere else.
func TestCapture(t *testing.T) {
	t.Chdir(t.TempDir())
	live := make([]byte, 64<<20) // so much is sampled for certain; what a run leaves behind may not be
	code, _, stderr := exec(t, "capture", "cpu,heap,goroutine,trace", "--out", "caps", "--version", "v9", "--", "run", "w1", "--duration", "1s", "--sink", "memory", "--quiet")
	if !passed(code) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	runtime.KeepAlive(live)
	m, err := pprof.ReadManifest("caps/w1")
	if err != nil || len(m.Files) != 4 || m.Labels["version"] != "v9" || m.Labels["workload"] != "w1" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, k := range []pprof.Kind{pprof.CPU, pprof.Heap, pprof.Goroutine} {
		if _, err := pprof.ReadProfileFile(filepath.Join("caps/w1", k.FileName())); err != nil {
			t.Error(err)
		}
		if folded, err := os.ReadFile("caps/w1/" + string(k) + ".folded"); err != nil || k != pprof.CPU && !strings.Contains(string(folded), ";") {
			t.Errorf("%s.folded: %.80q, %v", k, folded, err)
		}
	}
	if page, err := os.ReadFile("caps/w1/flame.html"); err != nil || !strings.Contains(string(page), "live heap") {
		t.Errorf("no flame graphs: %v", err)
	}
	if left, _ := os.ReadDir("."); len(left) != 1 {
		t.Errorf("it wrote beside the directory: %v", left)
	}
}

// Two captures are compared by kind; what can't be compared is said and is wrong usage.
func TestCaptureDiff(t *testing.T) {
	t.Chdir(t.TempDir())
	live := make([]byte, 64<<20) // as in TestCapture
	for _, c := range []struct{ dir, kinds string }{{"old", "heap,goroutine"}, {"new", "heap,mutex"}} {
		if code, _, stderr := exec(t, "capture", c.kinds, "--out", c.dir, "--", "run", "w1", "--duration", "300ms", "--sink", "memory", "--quiet"); !passed(code) {
			t.Fatalf("exit %d: %s", code, stderr)
		}
	}
	runtime.KeepAlive(live)
	code, stdout, stderr := exec(t, "capture", "diff", "old", "new", "--out", "changes")
	if code != exitOK || !strings.Contains(stdout, "w1/heap (inuse_space):") || strings.Contains(stdout, "mutex") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if page, err := os.ReadFile("changes/w1/diff.html"); err != nil || !strings.Contains(string(page), `"diff":true`) || strings.Contains(string(page), "src=") {
		t.Errorf("no page, or one that is not self-contained: %v", err)
	}
	if folded, err := os.ReadFile("changes/w1/heap.diff.folded"); err != nil || !regexp.MustCompile(`(?m) \d+ \d+$`).Match(folded) {
		t.Errorf("folded stacks lack the two values: %v, %.200s", err, folded)
	}
	if code, stdout, stderr := exec(t, "capture", "diff", "old/w1/heap.pb.gz", "new/w1/heap.pb.gz", "--out", "files"); code != exitOK || !strings.Contains(stdout, "profile.diff.svg") {
		t.Errorf("two files: exit %d: %s%s", code, stdout, stderr)
	}
	for _, c := range []struct{ old, new, want string }{
		{"missing", "new", "missing"}, {"old", "changes", "capture.json"}, {"old", "old/w1/heap.pb.gz", "a file and a directory"},
		{"old/w1/heap.pb.gz", "new/w1/mutex.pb.gz", "no sample type"}, {"old/w1/capture.json", "new/w1/heap.pb.gz", "not a usable profile"},
	} {
		if code, _, stderr := exec(t, "capture", "diff", c.old, c.new, "--out", "x"); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s and %s: exit %d: %s, want it to say %q", c.old, c.new, code, stderr, c.want)
		}
	}
}

// A stage beyond its bound leaves a trace that go tool trace reads; a run within its bounds leaves none.
func TestRunFlight(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		bounds string
		dumps  bool
	}{{"record=1ns", true}, {"record=1h,seal=1h,wal=1h,export=1h", false}} {
		code, stdout, stderr := exec(t, "run", "w1", "--duration", "1200ms", "--sink", "memory", "--flight", "traces", "--flight-bounds", c.bounds)
		if !passed(code) {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		found, err := filepath.Glob("traces/w1/flight-*-record-*.trace")
		if err != nil || len(found) > 0 != c.dumps || !strings.Contains(stdout, "flight recorder: ") {
			t.Errorf("%s: traces %v (%v)\n%s", c.bounds, found, err, stdout)
		}
		if c.dumps {
			b, err := os.ReadFile(found[0])
			if err != nil || !strings.HasPrefix(string(b), "go 1.") {
				t.Errorf("no trace: %v, %.16q", err, b)
			}
		}
		if err := os.RemoveAll("traces"); err != nil {
			t.Fatal(err)
		}
	}
}
