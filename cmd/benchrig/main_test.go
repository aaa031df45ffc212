package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
)

// exec runs benchrig in-process.
func exec(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return execCtx(t.Context(), args...)
}

func execCtx(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Wrong usage is exit 2, and says what was got and what is allowed.
func TestUsageErrors(t *testing.T) {
	unknown := write(t, "unknown.json", `{"workload":"W2","speed":1}`)
	other := write(t, "other.json", `{"workload":"W2"}`)
	broken := write(t, "broken.json", `{"workload":`)
	both := write(t, "both.json", `{"workload":"W2","duration":"5s","mins":1}`)
	value := write(t, "value.json", `{"workload":"W2","rate":"fast"}`)
	used := filepath.Dir(write(t, "ledger.db", ""))
	if err := os.Mkdir(filepath.Join(used, "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"bogus"}, []string{`"bogus"`}},
		{[]string{"--bogus"}, []string{"--bogus"}},
		{[]string{"run"}, []string{"w1, w2, w3, w4"}},
		{[]string{"run", "w9"}, []string{`"w9"`, "w1, w2, w3, w4"}},
		{[]string{"run", "w1", "w2"}, []string{"at most 1"}},
		{[]string{"run", "w1", "--speed", "1"}, []string{"--speed"}},
		{[]string{"run", "w1", "--rate", "0"}, []string{`"0"`, "1 to 1e10"}},
		{[]string{"run", "w1", "--rate", "fast"}, []string{`"fast"`, "max"}},
		{[]string{"run", "w1", "--window", "1500ms"}, []string{"whole seconds"}},
		{[]string{"run", "w1", "--window", "7s"}, []string{"window", "7s", "divisor"}},
		{[]string{"run", "w1", "--sink", "ftp://x"}, []string{"ftp://x", "memory, ledger"}},
		{[]string{"run", "w1", "--fsync", "sometimes"}, []string{"sometimes", "on-seal"}},
		{[]string{"run", "w1", "--fsync", "never"}, []string{"needs a WAL"}},
		{[]string{"run", "w1", "--wal", "--profile", "micronode"}, []string{"micronode with a WAL"}},
		{[]string{"run", "w1", "--chaos", "fire=1"}, []string{"fire", "outage="}},
		{[]string{"run", "w1", "--producers", "0"}, []string{`"0"`}},
		{[]string{"run", "w1", "--duration", "5s", "--mins", "1"}, []string{"duration", "mins"}},
		{[]string{"run", "w1", "--flight-bounds", "seal=1s"}, []string{"--flight DIR"}},
		{[]string{"run", "w1", "--flight", "x", "--flight-bounds", "lunch=1s"}, []string{"lunch=1s", "record, seal, wal, export"}},
		{[]string{"run", "w1", "--flight", "x", "--flight-bounds", "seal=0s"}, []string{"seal=0s", "above 0"}},
		{[]string{"run", "w1", "--dir", used}, []string{"ledger.db", "earlier run"}},
		{[]string{"run", "w4", "--sink", "memory", "--dir", used}, []string{"wal", "earlier run"}},
		{[]string{"run", "w1", "--json", filepath.Join(used, "none", "r.json")}, []string{"r.json", "directory"}},
		{[]string{"run", "w1", "--report", used}, []string{"is a directory"}},
		{[]string{"run", "w1", "--mins", "NaN"}, []string{"NaN", "43200"}},
		{[]string{"run", "w1", "--mins", "1e300"}, []string{"43200"}},
		{[]string{"run", "w1", "--rate", "NaN"}, []string{"NaN", "1 to 1e10"}},
		{[]string{"run", "w1", "--metrics-addr", "9100"}, []string{"9100", "HOST:PORT"}},
		{[]string{"run", "w1", "--metrics-addr", "127.0.0.1:99999"}, []string{"99999", "65535"}},
		{[]string{"run", "w2", "--dims", "bytes,requests,cpu,Upper"}, []string{"Upper", "[a-z]"}},
		{[]string{"run", "w1", "--report", filepath.Join(used, "none", "r.html")}, []string{"r.html", "directory"}},
		{[]string{"run", "w1", "--dims", "apples,apples"}, []string{"apples", "twice"}},
		{[]string{"run", "--config", unknown}, []string{`"speed"`, "tenants"}},
		{[]string{"run", "w1", "--config", other}, []string{"W2", "w1"}},
		{[]string{"run", "--config", broken}, []string{"JSON"}},
		{[]string{"run", "--config", both}, []string{"duration and mins"}},
		{[]string{"run", "--config", value}, []string{`"fast"`}},
		{[]string{"run", "--config", "missing.json"}, []string{"missing.json"}},
		{[]string{"bench", "--filter", "("}, []string{`"("`, "regular expression"}},
		{[]string{"bench", "--filter", "nothing"}, []string{"--list"}},
		{[]string{"bench", "--benchtime", "0s"}, []string{"1ms to 1h"}},
		{[]string{"gate"}, []string{"exactly one", "--against"}},
		{[]string{"gate", "--self-test", "--against", "HEAD"}, []string{"exactly one"}},
		{[]string{"gate", "--baseline", "missing.json"}, []string{"missing.json", "--write-baseline"}},
		{[]string{"gate", "--against", "no-such-ref"}, []string{"no-such-ref", "git fetch"}},
		{[]string{"gate", "--against", "HEAD", "--count", "3"}, []string{"at least 10"}},
		{[]string{"gate", "--against", "HEAD", "--json", used}, []string{"is a directory"}},
		{[]string{"gate", "--self-test", "--waivers", "w.json"}, []string{"--waivers", "--self-test"}},
		{[]string{"gate", "--write-baseline", "b", "--json", "-"}, []string{"--json", "--write-baseline"}},
		{[]string{"gate", "--against", "HEAD", "--runs", "3"}, []string{"--runs", "comparison"}},
		{[]string{"gate", "--self-test", "--runs", "0"}, []string{"at least 1"}},
		{[]string{"gate", "--write-baseline", filepath.Join(used, "ledger.db")}, []string{"ledger.db", "not a directory"}},
		{[]string{"bench", "--json", used}, []string{"is a directory"}},
		{[]string{"crash", "--json", used}, []string{"is a directory"}},
		{[]string{"capture", "cpu"}, []string{"-- run"}},
		{[]string{"capture", "diff", "a"}, []string{"accepts 2 arg"}},
		{[]string{"capture", "diff", "a", "b"}, []string{"--out DIR"}},
		{[]string{"capture", "cpu", "run", "w1"}, []string{"-- run"}},
		{[]string{"capture", "cpu,smell", "--", "run", "w1"}, []string{"smell", "fgprof", "perf"}},
		{[]string{"capture", "cpu,cpu", "--", "run", "w1"}, []string{"twice"}},
		{[]string{"capture", "cpu", "--", "run", "w9"}, []string{`"w9"`}},
		{[]string{"capture", "cpu", "--", "run", "w1", "--bogus"}, []string{"--bogus"}},
		{[]string{"verify"}, []string{"arg"}},
		{[]string{"ledger", "usage"}, []string{"--file"}},
		{[]string{"ledger", "usage", "--file", "x", "--group", "colour"}, []string{"colour", "tenant"}},
		{[]string{"ledger", "usage", "--file", "x", "--from", "9", "--to", "3"}, []string{"--from", "9", "3"}},
		{[]string{"ledger", "streams", "--file", "x", "--tenant", "7"}, []string{`"7"`, "32"}},
		{[]string{"ledger", "follow", "http://x", "--file", "x"}, []string{"http://x", "nats://"}},
		{[]string{"ledger", "serve", "--file", "x"}, []string{"--addr", "--uds"}},
	} {
		code, _, stderr := exec(t, c.args...)
		if code != exitUsage {
			t.Errorf("%q: exit %d, want 2: %s", c.args, code, stderr)
		}
		for _, w := range c.want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%q: %q does not say %q", c.args, stderr, w)
			}
		}
	}
}

// Several workloads in one run share no ledger: each is proved against all of its own.
func TestRunAllKeepsWorkloadsApart(t *testing.T) {
	dir := t.TempDir()
	sets, err := runSettings([]string{"all"}, "", []setting{{"dir", dir}})
	if err != nil || len(sets) != 4 {
		t.Fatalf("got %d settings, %v", len(sets), err)
	}
	for i, s := range sets {
		if want := filepath.Join(dir, "w"+strconv.Itoa(i+1)); s.Dir != want {
			t.Errorf("%s: got directory %s, want %s", s.Spec.Name, s.Dir, want)
		}
	}
}

// Shells complete commands, workloads and kinds.
func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"__complete", "ca"}, "capture"},
		{[]string{"__complete", "run", "w"}, "w4"},
		{[]string{"__complete", "capture", "f"}, "fgprof"},
		{[]string{"completion", "bash"}, "benchrig"},
	} {
		if code, stdout, stderr := exec(t, c.args...); code != exitOK || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: exit %d, %q does not offer %q (%s)", c.args, code, stdout, c.want, stderr)
		}
	}
}

// lookup follows a path of JSON keys.
func lookup(doc any, path string) (any, bool) {
	for key := range strings.SplitSeq(path, ".") {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil, false
		}
		if doc, ok = m[key]; !ok {
			return nil, false
		}
	}
	return doc, true
}

// passed is 0, or 4: on a busy machine a service level may be missed, which is not what these tests are about.
func passed(code int) bool { return code == exitOK || code == exitSLO }

// One run: the result has the contract's fields, nothing is lost, the ledger it leaves verifies, sums up to what was
// recorded, and a changed byte in it is found and named.
func TestRunVerifyUsage(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := exec(t, "run", "w1", "--duration", "1500ms", "--dir", dir, "--json", "-", "--report", filepath.Join(dir, "r.html"))
	if !passed(code) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var doc any
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
		t.Fatalf("the standard output is not one JSON document: %v", err)
	}
	for _, path := range strings.Fields(`schema workload profile seed config host.cpu host.cores host.os host.arch host.go host.path host.commit
		duration_s rate.offered rate.achieved record.count record.units record.rejected record.latency_ns.mean record.latency_ns.p50
		record.latency_ns.p95 record.latency_ns.p99 record.latency_ns.p999 record.latency_ns.max record.lag_us.p99 seal.slices seal.rows
		seal.bytes seal.per_slice_us.p99 seal.coalesced export.ok export.dup export.retries export.fail export.latency_ms.p99
		ordering_wait_ms.p99 degraded.seconds degraded.longest_s wal.enabled wal.fsyncs wal.fsync_ms.p99 wal.peak_bytes wal.corrupt
		cpu.core_percent cpu.generator_core_percent cpu.ns_per_row rss_mib.steady rss_mib.peak rss_mib.anon conservation.recorded
		conservation.open conservation.pending conservation.acked conservation.gap conservation.saturated conservation.rejected
		conservation.ledger conservation.lost conservation.double slo pass`) {
		if _, ok := lookup(doc, path); !ok {
			t.Errorf("the result has no %s", path)
		}
	}
	units, _ := lookup(doc, "record.units")
	for path, want := range map[string]any{"conservation.lost": "0", "conservation.double": "0", "conservation.ledger": units, "conservation.acked": units, "workload": "w1", "schema": 1.0} {
		if got, _ := lookup(doc, path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	if rows, _ := lookup(doc, "record.count"); rows != 75_000.0 {
		t.Errorf("record.count: got %v, want 75000", rows)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "r.html")); err != nil || !bytes.Contains(page, []byte("<svg")) || bytes.Contains(page, []byte("http")) {
		t.Errorf("the report has no chart, or asks the network for something (%v)", err)
	}
	file := filepath.Join(dir, "ledger.db")
	if code, stdout, stderr := exec(t, "verify", file); code != exitOK || !strings.Contains(stdout, "every chain holds") {
		t.Errorf("verify: exit %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := exec(t, "ledger", "usage", "--file", file, "--json"); code != exitOK || !strings.Contains(stdout, `"units":"`+units.(string)+`"`) {
		t.Errorf("usage: exit %d: %s, want %v units", code, stdout, units)
	}
	if code, stdout, _ := exec(t, "ledger", "streams", "--file", file); code != exitOK || strings.Count(stdout, "bytes") != 1 {
		t.Errorf("streams: exit %d: %s", code, stdout)
	}
	tamper(t, file)
	if code, stdout, _ := exec(t, "verify", file); code != exitLoss || !strings.Contains(stdout, "BROKEN") || !strings.Contains(stdout, "seq") {
		t.Errorf("verify after a change: exit %d: %s", code, stdout)
	}
}

// tamper changes one byte of the first row of each slice in the file: bbolt leaves old copies of a page behind.
func tamper(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mark, found := []byte("\xa2\x64head"), false
	for at := bytes.Index(b, mark); at >= 0 && at+300 < len(b); found = true {
		b[at+260] ^= 1
		next := bytes.Index(b[at+1:], mark)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	if !found {
		t.Fatal("no slice in the ledger's file")
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRunConfigFile(t *testing.T) {
	config := write(t, "w2.json", `{"workload":"W2","rate":20000,"tenants":10,"dims":["gpu_ms","cpu","bytes"],"mins":0.02}`)
	code, stdout, stderr := exec(t, "run", "--config", config, "--sink", "memory", "--json", "-", "--quiet")
	if !passed(code) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var doc any
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
		t.Fatal(err)
	}
	if n, _ := lookup(doc, "conservation.streams"); n != 30.0 {
		t.Errorf("%v streams, want 10 tenants × 3 dimensions", n)
	}
	if stderr != "" {
		t.Errorf("--quiet wrote %q", stderr)
	}
}

// An interrupt ends a run early, with its proof and its summary.
func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	start := time.Now()
	code, stdout, stderr := execCtx(ctx, "run", "w1", "--duration", "1h", "--sink", "memory")
	if !passed(code) || !strings.Contains(stdout, "interrupted") || !strings.Contains(stdout, "lost 0") || time.Since(start) > 30*time.Second {
		t.Errorf("exit %d after %v: %s%s", code, time.Since(start), stdout, stderr)
	}
}

// The exit code of a run: a loss weighs more than a service level missed.
func TestVerdict(t *testing.T) {
	whole := result.Conservation{Lost: "0", Double: "0"}
	good := &result.Result{Pass: true, Conservation: whole}
	slow := &result.Result{Conservation: whole}
	for _, c := range []struct {
		runs []*result.Result
		want int
	}{
		{[]*result.Result{good}, exitOK},
		{[]*result.Result{good, slow}, exitSLO},
		{[]*result.Result{slow, {Conservation: result.Conservation{Lost: "1", Double: "0"}}}, exitLoss},
		{[]*result.Result{{Pass: true, Conservation: result.Conservation{Lost: "0", Double: "1"}}}, exitLoss},
		{[]*result.Result{{Pass: true, Conservation: result.Conservation{Lost: "0", Double: "0", Order: []string{"seq 2"}}}}, exitLoss},
		{[]*result.Result{{Pass: true}}, exitLoss}, // nothing was proved
	} {
		if got := codeOf(verdict(c.runs)); got != c.want {
			t.Errorf("got exit %d, want %d", got, c.want)
		}
	}
}
