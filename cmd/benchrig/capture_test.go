package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/pprof"
)

// A capture leaves profiles that can be read, their graphs, and a description of both, below the directory asked for and nowhere else.
func TestCapture(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := exec(t, "capture", "cpu,heap,goroutine,trace", "--out", "caps", "--version", "v9", "--", "run", "w1", "--duration", "1s", "--sink", "memory", "--quiet")
	if !passed(code) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
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
