package main

import (
	"context"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Every example of every command's help runs: in a directory that holds the files they name, with short loads.
func TestExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, _, stderr := exec(t, "run", "w1", "--duration", "1s", "--dir", ".", "--quiet"); !passed(code) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if err := os.WriteFile("w2.json", []byte(`{"workload":"W2","tenants":10}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("meter.toml", []byte("window = \"60s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fakeRepo(t)
	own := map[string]bool{"bench": true, "gate": true, "capture": true, "diff": true, "config": true, "print": true, "validate": true, "run": true, "verify": true, "ledger": true, "serve": true, "usage": true, "streams": true, "cpu": true}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if own[c.Name()] {
				walk(c)
				if c.Runnable() && c.Example == "" && !c.HasSubCommands() {
					t.Errorf("%s has no example", c.CommandPath())
				}
			}
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			if args := strings.Fields(strings.ReplaceAll(line, "'", "")); len(args) > 1 { // no argument holds a space
				example(t, args[1:])
			}
		}
	}
	started := false
	walk(newRoot(&started))
}

// fakeRepo makes the working directory a repository of two commits, whose benchrig claims to have measured what gate asks for.
func fakeRepo(t *testing.T) {
	t.Helper()
	const program = `package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if os.Args[1] == "run" {
		_ = os.WriteFile(os.Args[len(os.Args)-1], []byte("{\"export\":{\"latency_ms\":{\"p95\":1}},\"cpu\":{\"ns_per_row\":1},\"rss_mib\":{\"steady\":1}}"), 0o600)
		return
	}
	extra, _ := strconv.ParseFloat(os.Getenv("RON_ACC_BENCH_EXTRA"), 64)
	fmt.Printf("{\"schema\":1,\"results\":[{\"name\":\"Record/keys=1\",\"best_ns_per_op\":%f}]}", (1+extra/100)*(100+float64(time.Now().UnixNano()/1000%100)/100))
}
`
	files := map[string]string{"cmd/benchrig/main.go": program, "go.mod": "module example.test/fake\n\ngo 1.26\n", "waivers.json": `{"schema":1,"waivers":[]}`, ".gitignore": "*.db\n*.json\n"}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := []string{"-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false"}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, append(git, "commit", "-q", "-m", "one"), append(git, "commit", "-q", "--allow-empty", "-m", "two")} {
		if out, err := osexec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
}

// example runs one, made short. What waits for an interrupt gets one.
func example(t *testing.T, args []string) {
	t.Helper()
	line := strings.Join(args, " ")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	switch {
	case strings.Contains(line, "/var/lib"):
		return // needs what is not here, or is a minute's work: the tests of the parts stand for it
	case args[0] == "run":
		if i := slices.Index(args, "--mins"); i >= 0 {
			args = slices.Delete(args, i, i+2)
		}
		args = append(args, "--duration", "300ms", "--quiet")
	case args[0] == "capture" && args[1] != "diff":
		if slices.Contains(args, "perf") {
			if osexec.Command("perf", "stat", "-e", "cpu-clock", "true").Run() != nil {
				return // no perf here, or nobody may use it
			}
			if err := os.Setenv(asBenchrig, "1"); err != nil {
				t.Fatal(err)
			}
			defer os.Unsetenv(asBenchrig)
		}
		args = append(args, "--duration", "300ms", "--quiet")
	case args[0] == "bench":
		args = append(args, "--benchtime", "1ms")
		if raceEnabled && len(args) == 3 { // the large ones take minutes then
			args = append(args, "--filter", "^(CounterAdd|Encode|Digest|Decode)/")
		}
	case slices.Contains(args, "--baseline"):
		recorded, err := filepath.Glob("testing/performance/baselines/*/*.json")
		if err != nil || len(recorded) != 1 {
			t.Fatalf("--write-baseline left %v (%v)", recorded, err)
		}
		args[slices.Index(args, "--baseline")+1] = recorded[0]
	case args[0] == "serve" || args[0] == "token":
		return // they want keys and pipes: TestServe and the test of docs/INTEROP.md go their way
	case strings.HasPrefix(line, "ledger serve"):
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
	}
	if code, stdout, stderr := execCtx(ctx, args...); !passed(code) {
		t.Errorf("%s: exit %d: %s%s", line, code, stdout, stderr)
	}
}
