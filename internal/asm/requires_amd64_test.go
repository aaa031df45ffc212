//go:build !purego

package asm

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// TestRequires holds the dispatcher to the generated code: a path is available
// only where every feature is that its kernels' `// Requires:` lines name.
func TestRequires(t *testing.T) {
	function := regexp.MustCompile(`(?m)^// Requires: (.*)\nTEXT ·[a-z]+(?:\d+|[A-Z][a-z]+)([A-Z0-9]+)\(SB\)`)
	text := regexp.MustCompile(`(?m)^TEXT `)
	files, err := filepath.Glob("z*_amd64.s")
	if err != nil || len(files) != 5 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := function.FindAllSubmatch(b, -1)
		if len(found) == 0 || len(found) != len(text.FindAll(b, -1)) {
			t.Errorf("%s: %d functions with a Requires line, %d in all", file, len(found), len(text.FindAll(b, -1)))
		}
		for _, f := range found {
			name := string(f[2])
			vbmi2, have := cpufeat.VBMI2()
			available := vbmi2
			if name != "VBMI2" {
				p, err := cpufeat.ParsePath(name)
				if err != nil {
					t.Fatal(err)
				}
				available, have = cpufeat.Available(p), cpufeat.Requires(p)
			}
			for _, need := range strings.Split(string(f[1]), ", ") {
				if need != "MMX+" && !slices.Contains(have, need) { // that is avo's word for PREFETCHT0, which any amd64 has
					t.Errorf("%s: %s needs %s, which the dispatcher does not check (%v)", file, name, need, have)
				}
			}
			if available {
				for _, h := range have {
					if !slices.Contains(cpufeat.Features(), h) {
						t.Errorf("%s is available without %s", name, h)
					}
				}
			}
		}
	}
}
