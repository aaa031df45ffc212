package cpufeat

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestPathNames(t *testing.T) {
	for p := Path(0); p < numPaths; p++ {
		q, err := ParsePath(" " + strings.ToUpper(p.String()) + " ")
		if err != nil || q != p {
			t.Errorf("ParsePath(%s) = %v, %v", p, q, err)
		}
	}
	if _, err := ParsePath("avx1024"); err == nil {
		t.Error("an unknown path was accepted")
	}
	if s := numPaths.String(); s != "path(5)" {
		t.Errorf("String of an unknown path = %q", s)
	}
}

func TestChoose(t *testing.T) {
	all := [numPaths]bool{Generic: true, SSE41: true, AVX2: true, AVX512: true}
	few := [numPaths]bool{Generic: true, SSE41: true}
	for _, c := range []struct {
		name         string
		cpu, require string
		have         [numPaths]bool
		want         Path
		errs         []string // substrings of the error; none: no error
	}{
		{"widest", "", "", all, AVX512, nil},
		{"widest of few", "", "", few, SSE41, nil},
		{"override", "avx2", "", all, AVX2, nil},
		{"override and gate", "generic", "generic", all, Generic, nil},
		{"gate met", "", "avx512", all, AVX512, nil},
		{"gate missed", "", "avx512", few, SSE41, []string{"RON_ACC_REQUIRE=avx512", "sse41"}},
		{"gate against override", "avx2", "avx512", all, AVX2, []string{"RON_ACC_CPU=avx2"}},
		{"not here", "neon", "", all, AVX512, []string{"RON_ACC_CPU=neon", "not available"}},
		{"unknown", "fast", "", all, AVX512, []string{`"fast"`, "RON_ACC_CPU"}},
		{"both unknown", "fast", "faster", few, SSE41, []string{`"fast"`, `"faster"`, "RON_ACC_REQUIRE"}},
	} {
		env := map[string]string{EnvCPU: c.cpu, EnvRequire: c.require}
		got := choose(func(k string) string { return env[k] }, c.have)
		if got.path != c.want || got.why == "" {
			t.Errorf("%s: path %v (%q), want %v", c.name, got.path, got.why, c.want)
		}
		if (got.err != nil) != (len(c.errs) > 0) {
			t.Errorf("%s: error %v", c.name, got.err)
			continue
		}
		for _, s := range c.errs {
			if !strings.Contains(got.err.Error(), s) {
				t.Errorf("%s: error %q does not say %q", c.name, got.err, s)
			}
		}
	}
}

// TestRequire makes a missing path a failure where the environment demands it:
// a skip is not a pass. It reads both variables again so that go test does not
// answer from its cache when one of them has changed.
func TestRequire(t *testing.T) {
	os.Getenv(EnvCPU)
	if err := Err(); err != nil {
		t.Fatal(err)
	}
	if v := os.Getenv(EnvRequire); v != "" && v != Selected().String() {
		t.Fatalf("%s=%s, selected %s", EnvRequire, v, Selected())
	}
	if !Available(Selected()) || !Available(Generic) || Available(numPaths) {
		t.Error("Available contradicts the selection")
	}
	if runtime.GOARCH == "arm64" && Available(AVX2) || runtime.GOARCH == "amd64" && Available(NEON) {
		t.Error("a path of another architecture is available")
	}
}

func TestRegistry(t *testing.T) {
	before := len(Variants("cpufeat_test")) // with -count it has run already
	Register("cpufeat_test", "one", Generic)
	vs := Variants("cpufeat_test")
	if len(vs) != before+1 || vs[before] != (Variant{"cpufeat_test", "one", Generic, true}) {
		t.Errorf("Variants = %+v", vs)
	}
	if len(Variants("")) < 1 {
		t.Error("the list of all variants is empty")
	}
}
