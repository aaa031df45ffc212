package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestTune(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	status := run([]string{"-dir", dir, "-each", "1us"}, &stdout, &stderr)
	b, err := os.ReadFile(filepath.Join(dir, "ztune_"+runtime.GOARCH+".go"))
	if status != 0 {
		// Without the kernels there is nothing to measure, and nothing is written.
		if status != 1 || err == nil || stderr.Len() == 0 {
			t.Fatalf("status %d, %v: %s", status, err, stderr.String())
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range constants() {
		if !strings.Contains(string(b), c.name) {
			t.Errorf("no %s in\n%s", c.name, b)
		}
	}
}

// TestCommitted: the committed file is one this command can have written.
func TestCommitted(t *testing.T) {
	names := constants()
	if names == nil {
		return // no file for this architecture
	}
	values := make([]int, len(names))
	for i := range values {
		values[i] = 1024
	}
	want, err := source(names, values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "ztune_"+runtime.GOARCH+".go"))
	if err != nil {
		t.Fatal(err)
	}
	if g, w := strings.Count(string(got), "\n"), strings.Count(string(want), "\n"); g != w {
		t.Errorf("ztune_%s.go has %d lines, this command writes %d", runtime.GOARCH, g, w)
	}
}
