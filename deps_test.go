package accounting_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ron-accounting/ron-accounting"

// goList runs go list with a format and returns its lines.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestCoreIsLight shows that a service that links the library links no server, database, command-line or configuration library with it.
func TestCoreIsLight(t *testing.T) {
	heavy := []string{"nats-io", "bbolt", "cobra", "pflag", "koanf", "toml", "macaroon", "/pipeline/ledger", "/pipeline/ingress", "/pipeline/adapter", "/pipeline/export/", "promhttp", "hdrhistogram", "pprof/profile", "go-ipld", "mpb", "bubbletea"}
	for _, dep := range goList(t, "-deps", ".") {
		for _, h := range heavy {
			if strings.Contains(dep, h) {
				t.Errorf("the root package depends on %s", dep)
			}
		}
	}
}

// layers are the packages from the bottom up: one may import only from layers below its own, or from its own where the rule says so.
var layers = []struct {
	prefix string
	may    []string // besides the layers named here, nothing of this module
}{
	{"internal/cpufeat", nil},
	{"internal/asm", []string{"internal/asm", "internal/cpufeat"}}, // its own: the tune command
	{"internal/certtest", nil},                                     // certificates for the tests of several layers
	{"shardmap", []string{"shardmap", "internal/asm", "internal/cpufeat"}},
	{"canon", []string{"internal/asm"}},
	{"pipeline/vfs", nil},
	{"pipeline/wal", []string{"canon", "pipeline/vfs"}},
	{"pipeline/problem", []string{"canon", "pipeline/export"}},
	{"pipeline/export", []string{"canon", "pipeline/export", "pipeline/problem", "pipeline/ledger", "pipeline/vfs"}},
	{"pipeline/lane", []string{"canon", "pipeline/export"}},
	{"pipeline/ledger", []string{"canon", "pipeline/export", "pipeline/problem", "pipeline/vfs"}},
	{"pipeline/ingress", []string{"canon", "pipeline", "pipeline/export", "pipeline/lane"}},
	{"pipeline/adapter", []string{"canon", "pipeline", "pipeline/export", "pipeline/problem", "pipeline/lane", "pipeline/wal"}},
	{"pipeline", []string{"canon", "internal/asm", "shardmap", "pipeline/lane", "pipeline/wal", "pipeline/vfs", "pipeline/export"}},
	{"pprof", []string{"pprof"}},
	{"cmd/benchrig", []string{"", "internal/asm", "internal/cpufeat", "canon", "shardmap", "pipeline", "pprof", "cmd/benchrig"}},
	{"", []string{"canon", "shardmap", "pipeline", "pipeline/export", "pipeline/wal"}},
}

func under(path, prefix string) bool {
	return path == prefix || prefix != "" && strings.HasPrefix(path, prefix+"/")
}

func TestDependenciesPointOneWay(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		i := slices.IndexFunc(layers, func(l struct {
			prefix string
			may    []string
		}) bool {
			return under(from, l.prefix) || l.prefix == "" && from == ""
		})
		if i < 0 {
			t.Errorf("%s is in no layer: add it to this test and say why", fields[0])
			continue
		}
		for _, imp := range fields[1:] {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
			if !slices.ContainsFunc(layers[i].may, func(p string) bool { return under(to, p) }) {
				t.Errorf("%s imports %s, which its layer may not", fields[0], imp)
			}
		}
	}
}
