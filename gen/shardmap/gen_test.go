package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDrift: the files in the repository are what the generator writes.
func TestDrift(t *testing.T) {
	for _, v := range Variants {
		fs, err := Generate(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			have, err := os.ReadFile(filepath.Join("..", "..", "shardmap", f.Name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(have, f.Text) {
				t.Errorf("%s is stale: run go run ./shardmap in gen", f.Name)
			}
		}
	}
}

// TestExample generates the documented example outside the repository, builds and runs it.
func TestExample(t *testing.T) {
	dir := t.TempDir()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"-layout", "example/layout.json", "-o", dir}, io.Discard, os.Stderr); code != 0 {
		t.Fatal("exit", code)
	}
	prog, err := os.ReadFile("example/main.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod = bytes.Replace(mod, []byte("module github.com/ron-accounting/ron-accounting\n"), []byte("module example\n\nrequire github.com/ron-accounting/ron-accounting v0.0.0\nreplace github.com/ron-accounting/ron-accounting => "+repo+"\n"), 1)
	sum, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"main.go": prog, "go.mod": mod, "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "port 443 stream 7 bytes 1500\n" {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestRefused: a layout that can't be a map is an error, not a bad file.
func TestRefused(t *testing.T) {
	for _, s := range []string{
		``, `{"name":"x"}`, `{"name":"X","package":"p","streamBits":8}`,
		`{"name":"X","package":"p","streamBits":8,"fields":[{"name":"A","type":"string"}]}`,
		`{"name":"X","package":"p","streamBits":8,"fields":[{"name":"A","type":"[9]byte"}]}`,
		`{"name":"X","package":"p","streamBits":8,"fields":[{"name":"A","type":"uint64"}],"dimension":"B"}`,
		`{"name":"X","package":"p","streamBits":8,"colour":"red"}`,
	} {
		v, err := parse([]byte(s))
		if err == nil {
			_, err = Generate(v)
		}
		if err == nil {
			t.Errorf("%s: accepted", s)
		}
	}
}
