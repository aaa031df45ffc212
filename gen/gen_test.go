package main

import (
	"bytes"
	"path"
	"strings"
	"testing"
)

// TestDrift regenerates every file and compares it with the one in the
// repository. `go run .` in this directory writes them.
func TestDrift(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run([]string{"-check"}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d\n%s%s", status, stderr.String(), stdout.String())
	}
}

func TestOutputs(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range outputs {
		if seen[o.path] {
			t.Errorf("%s is generated twice", o.path)
		}
		seen[o.path] = true
		if !strings.HasPrefix(path.Base(o.path), "z") {
			t.Errorf("%s: a generated file's name starts with z", o.path)
		}
		a, err := o.gen()
		if err != nil {
			t.Fatalf("%s: %v", o.path, err)
		}
		if b, err := o.gen(); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: two runs differ (%v)", o.path, err)
		}
		if !bytes.HasPrefix(a, []byte(Header)) {
			t.Errorf("%s does not open with %q", o.path, Header)
		}
	}
}

func TestUsage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run([]string{"-nonsense"}, &stdout, &stderr); status != 2 {
		t.Errorf("unknown flag: status %d", status)
	}
	if status := run([]string{"-check", "-generate"}, &stdout, &stderr); status != 2 {
		t.Errorf("contradicting flags: status %d", status)
	}
	stderr.Reset()
	if status := run([]string{"-check", "-root", t.TempDir()}, &stdout, &stderr); status != 1 || strings.Count(stderr.String(), "differs") != len(outputs) {
		t.Errorf("empty root: status %d, %s", status, stderr.String())
	}
}
