package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/config"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

var update = flag.Bool("update", false, "write docs/CONFIG.md anew")

const repository = "../../"

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// docs/CONFIG.md is what the code says.
func TestConfigDoc(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Configuration of benchrig serve

A key is taken from, in this order: a flag (` + "`--addr`" + ` and its like, or ` + "`--set key=value`" + `), the environment (` + "`RON_ACC_`" + ` and the key in capitals, ` + "`_`" + ` for its dots),
the TOML file of ` + "`--config`" + `, the default. ` + "`benchrig config print > serve.toml`" + ` writes a file to begin with, ` + "`benchrig config validate serve.toml`" + ` judges one. An
unknown key is an error in all of them, and every fault is named at once. Sizes and durations carry units: ` + "`512MiB`, `300s`" + `. ` + "`RON_ACC_CPU`" + ` and
` + "`RON_ACC_REQUIRE`" + ` choose the CPU path (` + "`benchrig cpu`" + `) and are no keys. A reload is a SIGHUP, obeyed at most once a minute; where a key that is not reloadable
has changed all of it is refused. The files behind serve.token_keys, serve.tls_cert, serve.tls_key and serve.client_ca are read again at each reload.

This table is written by ` + "`go test ./cmd/benchrig -run ConfigDoc -update`" + `.

| key | default | reloadable | meaning |
|---|---|---|---|
`)
	for _, k := range config.Keys {
		reload, def := "no", "none"
		if k.Reloadable {
			reload = "yes"
		}
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, def, reload, strings.ReplaceAll(k.Help, "|", "\\|"))
	}
	if *update {
		if err := os.WriteFile(repository+"docs/CONFIG.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readDoc(t, "docs/CONFIG.md") != b.String() {
		t.Error("docs/CONFIG.md is not what the code says: run this test with -update")
	}
}

// The runbook has a section for each alert, and for nothing else.
func TestRunbook(t *testing.T) {
	find := func(re, text string) map[string]bool {
		out := map[string]bool{}
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(text, -1) {
			out[m[1]] = true
		}
		return out
	}
	alerts, sections := find(`(?m)^ *- alert: (\w+)$`, readDoc(t, "ops/alerts.yaml")), find(`(?m)^## (\w+)$`, readDoc(t, "docs/RUNBOOK.md"))
	if len(alerts) == 0 {
		t.Fatal("no alerts")
	}
	for a := range alerts {
		if !sections[a] {
			t.Errorf("no section for %s", a)
		}
	}
	for s := range sections {
		if !alerts[s] {
			t.Errorf("a section for %s, which is no alert", s)
		}
	}
}

// Alerts and dashboard ask for metrics that exist, and promtool takes the rules and their tests.
func TestOps(t *testing.T) {
	q, err := ingress.Open(ingress.Options{Sink: memorySinkForTests()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(t.Context())
	a, err := adapter.New(adapter.Options{Queue: q, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	ch := make(chan *prometheus.Desc, 200)
	pipeline.NewMetrics(nil).Describe(ch)
	a.Collector().Describe(ch)
	close(ch)
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	for d := range ch {
		n := name.FindStringSubmatch(d.String())[1]
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			known[n+suffix] = true
		}
	}
	for m, e := range askedMetrics(t) {
		if !known[m] {
			t.Errorf("%s: there is no metric %s", e, m)
		}
	}
	tool, err := osexec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (apt-get install prometheus): the rules were not run")
	}
	asRules := "groups: [{name: dashboard, rules: ["
	for _, e := range dashboardExprs(t) { // so that promtool reads them too
		b, _ := json.Marshal(strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h").Replace(e))
		asRules += fmt.Sprintf("{record: x, expr: %s},", b)
	}
	board := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(board, []byte(asRules+"]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "--lint=none", board}, {"check", "config", "prometheus.yml"}, {"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := osexec.Command(tool, args...)
		cmd.Dir = repository + "ops"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// dashboardExprs are the dashboard's queries.
func dashboardExprs(t *testing.T) (out []string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readDoc(t, "ops/dashboard.json")), &board); err != nil || len(board.Panels) == 0 {
		t.Fatal(len(board.Panels), err)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			out = append(out, q.Expr)
		}
	}
	return out
}

// askedMetrics returns the names that the dashboard and the alerts ask for, each with an expression that does.
func askedMetrics(t *testing.T) map[string]string {
	t.Helper()
	exprs := append(dashboardExprs(t), regexp.MustCompile(`expr: (.*)`).FindAllString(readDoc(t, "ops/alerts.yaml"), -1)...)
	out := map[string]string{}
	quoted := regexp.MustCompile(`"[^"]*"`)
	for _, e := range exprs {
		for _, m := range regexp.MustCompile(`[a-z]+(?:_[a-z]+)+`).FindAllString(quoted.ReplaceAllString(e, ""), -1) {
			if m != "histogram_quantile" {
				out[m] = e
			}
		}
	}
	return out
}

// The unit is one that systemd takes.
func TestUnit(t *testing.T) {
	tool, err := osexec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the unit was not verified")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "ron-accounting.service")
	text := strings.ReplaceAll(readDoc(t, "ops/ron-accounting.service"), "/usr/local/bin/benchrig", self) // it wants to see the program
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := osexec.Command(tool, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// The examples of docs/INTEROP.md run, as one script, in an empty directory.
func TestInterop(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "openssl", "gzip"} {
		if _, err := osexec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed: the examples were not run")
		}
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(bin, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "benchrig"), []byte("#!/bin/sh\n"+asBenchrig+"=1 exec "+self+" \"$@\"\n"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eu -o pipefail\ntrap 'kill %1 2>/dev/null || true' EXIT\n"
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readDoc(t, "docs/INTEROP.md"), -1) {
		script += m[1]
	}
	for _, port := range []string{"8421", "9464"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, free, _ := net.SplitHostPort(ln.Addr().String())
		ln.Close()
		script = strings.ReplaceAll(script, "127.0.0.1:"+port, "127.0.0.1:"+free)
	}
	cmd := osexec.CommandContext(t.Context(), "timeout", "60", "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "serve.log"))
		t.Fatalf("%v\n%s\n%s", err, &out, log)
	}
	for _, want := range []string{"caveat aud=edge", `{"ack":"ok","seq":"0"`, `{"ack":"dup","seq":"0"`, `{"ack":"ok","results":["ok","ok"]}`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
}

func memorySinkForTests() export.Sink {
	return export.Sink{Name: "memory", Exporter: memory.New(memory.Options{})}
}
