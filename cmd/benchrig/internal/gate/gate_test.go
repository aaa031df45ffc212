package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testRepo is a module in a git repository of its own, whose cmd/benchrig claims to have measured what it is told to.
type testRepo struct {
	t   *testing.T
	dir string
}

var testSuite = Suite{Filter: "Work"}

func newRepo(t *testing.T) *testRepo {
	r := &testRepo{t, t.TempDir()}
	r.file("go.mod", "module example.test/work\n\ngo 1.26\n")
	r.git("init", "-q", "-b", "main")
	return r
}

func (r *testRepo) file(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testRepo) git(args ...string) string {
	r.t.Helper()
	out, err := command(r.t.Context(), r.dir, nil, "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false"}, args...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// commit commits a benchrig that says that Work takes ns nanoseconds, 1 % up or down, and so much more as the environment asks for.
func (r *testRepo) commit(ns int, more string) string {
	r.t.Helper()
	r.file("cmd/benchrig/main.go", fmt.Sprintf(`package main

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
)

func main() {
	if os.Args[1] != "bench" {
		os.Exit(2)
	}
	extra, _ := strconv.ParseFloat(os.Getenv("RON_ACC_BENCH_EXTRA"), 64)
	took := %d * (1 + extra/100) * (0.99 + rand.Float64()/50)
	fmt.Printf("{\"schema\":1,\"results\":[{\"name\":\"Work/keys=1\",\"best_ns_per_op\":%%f},{\"name\":\"Disk\",\"unsteady\":\"waits\",\"best_ns_per_op\":%%f}]}", took, took)
}
%s`, ns, more))
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "work")
	return r.git("rev-parse", "HEAD")
}

func (r *testRepo) options() Options {
	return Options{Repo: r.dir, Suite: testSuite, BenchTime: 10 * time.Millisecond, HostName: "test", Log: r.t.Logf}
}

func TestGateAgainstARef(t *testing.T) {
	r := newRepo(t)
	r.commit(1000, "")
	base := r.commit(1000, "// the base\n")
	r.commit(1200, "")
	o := r.options()
	o.Against = base
	v, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f := v.Failures(); v.Pass || len(f) != 1 || f[0].Name != "Work/keys=1" || f[0].Delta < 15 {
		t.Fatalf("20 %% more work: %+v, want one regression", v.Rows)
	}
	var table, j bytes.Buffer
	if err := v.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if err := v.WriteJSON(&j); err != nil {
		t.Fatal(err)
	}
	var back Verdict
	if err := json.Unmarshal(j.Bytes(), &back); err != nil || back.Schema != 1 || back.Pass || len(back.Rows) != len(v.Rows) {
		t.Errorf("the verdict does not read back: %v, %+v", err, back)
	}
	for _, want := range []string{"REGRESSION", "Work/keys=1", "FAIL: 1 regressions", base} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if out := r.git("worktree", "list"); strings.Count(out, "\n") != 0 {
		t.Errorf("a worktree was left behind:\n%s", out)
	}

	// The same tree against itself passes.
	o.Against = "HEAD"
	if v, err := Run(t.Context(), o); err != nil || !v.Pass {
		t.Errorf("a commit against itself: %v, %+v", err, v)
	}

	// A waiver with an updated baseline lets it through; the same waiver does not let the next slowdown through.
	o.Against = base
	recorded, err := Record(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	path := recorded.PathBelow(filepath.Join(r.dir, "baselines"))
	if err := recorded.Write(path); err != nil {
		t.Fatal(err)
	}
	rel, _ := filepath.Rel(r.dir, path)
	waiver := map[string]any{"schema": 1, "waivers": []any{map[string]string{"name": "Work/keys=1", "metric": "ns/op",
		"reason": "a more careful algorithm", "risk": "sealing takes longer", "baseline": rel, "expires": time.Now().AddDate(0, 1, 0).Format(time.DateOnly)}}}
	b, _ := json.Marshal(waiver)
	r.file("waivers.json", string(b))
	o.Waivers = filepath.Join(r.dir, "waivers.json")
	if v, err = Run(t.Context(), o); err != nil || !v.Pass || len(v.Rows) == 0 || v.Rows[len(v.Rows)-1].Status != Waived {
		t.Errorf("with a waiver: %v, %+v", err, v)
	}
	r.commit(4000, "")
	if v, err = Run(t.Context(), o); err != nil || v.Pass || !strings.Contains(v.Failures()[0].Why, "updated baseline") {
		t.Errorf("far beyond the waiver's baseline: %v, %+v", err, v)
	}

	// And the recorded baseline itself is a base.
	o.Against, o.Waivers, o.Baseline = "", "", path
	if v, err = Run(t.Context(), o); err != nil || v.Pass {
		t.Errorf("against a recorded baseline: %v, %+v", err, v)
	}
}

func TestGateRefusesWhatItCannotCompare(t *testing.T) {
	r := newRepo(t)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "nothing yet")
	first := r.git("rev-parse", "HEAD")
	good := r.commit(100, "")
	broken := r.commit(100, "var x int = \"not a number\"\n")
	r.commit(100, "")
	for name, c := range map[string]struct {
		change func(*Options)
		want   error
		say    string
	}{
		"no such ref":            {func(o *Options) { o.Against = "nosuch" }, ErrRef, "git fetch"},
		"a flag for ref":         {func(o *Options) { o.Against = "--help" }, ErrRef, "not a commit"},
		"a base before benchrig": {func(o *Options) { o.Against = first }, ErrRef, "no cmd/benchrig"},
		"broken ref":             {func(o *Options) { o.Against = broken }, ErrRef, "does not build"},
		"neither":                {func(*Options) {}, ErrUsage, "--against"},
		"both":                   {func(o *Options) { o.Against, o.Baseline = good, "x" }, ErrUsage, "--against"},
		"few samples":            {func(o *Options) { o.Against, o.Count = good, 3 }, ErrUsage, "at least 10"},
		"no baseline":            {func(o *Options) { o.Baseline = filepath.Join(r.dir, "nosuch.json") }, ErrBaseline, "--write-baseline"},
		"no waivers":             {func(o *Options) { o.Against, o.Waivers = good, filepath.Join(r.dir, "nosuch.json") }, ErrWaiver, "want {"},
		"nothing":                {func(o *Options) { o.Against, o.Suite = good, Suite{} }, ErrUsage, "nothing to measure"},
	} {
		o := r.options()
		c.change(&o)
		if _, err := Run(t.Context(), o); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want %v saying %q", name, err, c.want, c.say)
		}
	}
	r.file("cmd/benchrig/main.go", "package main\nbroken")
	o := r.options()
	o.Against = good
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrBuild) {
		t.Errorf("a working tree that does not build: got %v, want ErrBuild", err)
	}
	if _, err := FindRepo(t.Context(), t.TempDir()); !errors.Is(err, ErrUsage) {
		t.Errorf("outside a repository: got %v, want ErrUsage", err)
	}
}

// Ten comparisons of the same thing pass, and a slowdown that the environment asks for is caught.
func TestSelfTest(t *testing.T) {
	r := newRepo(t)
	r.commit(1000, "")
	res, err := SelfTestRun(t.Context(), r.options(), 10)
	if err != nil || !res.Pass || len(res.AA) != 10 || res.Seeded.Pass {
		t.Errorf("got %v, %+v", err, res)
	}
	r.file("cmd/benchrig/main.go", strings.Replace(r.git("show", "HEAD:cmd/benchrig/main.go"), "extra/100", "extra/1000", 1))
	if res, err := SelfTestRun(t.Context(), r.options(), 1); !errors.Is(err, ErrSelfTest) || res.Pass {
		t.Errorf("a slowdown of 1.5 %% for 15: got %v, want ErrSelfTest", err)
	}
}
