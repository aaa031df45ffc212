package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/config"
	"github.com/ron-accounting/ron-accounting/internal/certtest"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/httpledger"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// output collects what a command prints, for another goroutine to read.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

var (
	onAddr    = regexp.MustCompile(`adapter on (https?://[0-9.:]+)`)
	onMetrics = regexp.MustCompile(`metrics on (http://[0-9.:]+/metrics)`)
)

// waitFor returns the first group once the output matches.
func waitFor(t *testing.T, o *output, re *regexp.Regexp) string {
	t.Helper()
	for range 1000 {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %v in %s", re, o)
	return ""
}

// command runs benchrig in-process and returns what it prints.
func command(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	started := false
	root := newRoot(&started)
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("benchrig %v: %v %s", args, err, &errs)
	}
	return out.String()
}

func postSlice(t *testing.T, base, bearer string, s canon.SealedSlice) (int, string) {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/export", bytes.NewReader(s.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", canon.MediaType)
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// The documented way: a key, a token, an adapter, a ledger; a reload of what may change, and the refusal of what may not.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	keys, conf, book := filepath.Join(dir, "keys"), filepath.Join(dir, "meter.toml"), filepath.Join(dir, "ledger.db")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keys, command(t, "", "token", "key", "one"))
	write(conf, "sink = \"ledger:"+book+"\"\ncapacity_rows = 1000\n[backoff]\nbase = \"20ms\"\n")
	bearer := strings.TrimSpace(command(t, "", "token", "mint", "--keys", keys, "--caveat", "path=/export"))
	if in := command(t, bearer, "token", "inspect"); in != "key one\ncaveat path=/export\n" {
		t.Errorf("inspect: %s", in)
	}
	narrow := strings.TrimSpace(command(t, bearer+"\n", "token", "attenuate", "--caveat", "dimension=cpu"))

	ctx, cancel := context.WithCancel(t.Context())
	var out, logs output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--config", conf, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--token-keys", keys, "--dir", filepath.Join(dir, "state")}, &out, &logs)
	}()
	base, metrics := waitFor(t, &out, onAddr), waitFor(t, &out, onMetrics)
	chain := exporttest.NewChain(exporttest.Stream("serve", 0), 3)
	if st, body := postSlice(t, base, bearer, chain.Next()); st != 202 {
		t.Fatal(st, body)
	}
	if st, body := postSlice(t, base, narrow, chain.Next()); st != 403 {
		t.Error(st, body)
	}
	write(conf, "sink = \"ledger:"+book+"\"\ncapacity_rows = 1000\n[backoff]\nbase = \"30ms\"\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, &logs, regexp.MustCompile(`msg=reloaded changed=\[backoff.base\]`))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, &logs, regexp.MustCompile(`reload refused.*at least 1m0s`))
	res, err := http.Get(metrics)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.Contains(string(text), "\nconfig_reload_fail_total 1\n") || !strings.Contains(string(text), "accounting_units{") {
		t.Error("the metrics lack the refused reload or the units")
	}
	if tool, err := osexec.LookPath("promtool"); err == nil {
		check := osexec.Command(tool, "check", "metrics")
		check.Stdin = bytes.NewReader(text)
		if b, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool check metrics: %v\n%s", err, b)
		}
	} else {
		t.Log("promtool is not installed: check metrics was left out")
	}
	if strings.Contains(logs.String(), bearer) || !strings.Contains(logs.String(), "keys.window=300s") {
		t.Error("the log lacks the configuration, or tells a token")
	}
	cancel()
	if code := <-done; code != 0 {
		t.Fatalf("exit %d\n%s", code, &logs)
	}
	http.DefaultClient.CloseIdleConnections()
	l, err := ledger.Open(book, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if seq, _, ok, err := l.Tip(t.Context(), chain.Stream); !ok || seq != 0 || err != nil {
		t.Error(seq, ok, err)
	}
}

// A reload of what may not change, and the faults of a configuration, are named.
func TestServeRefusals(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		want string
		args []string
	}{
		{"sink", []string{"--addr", "127.0.0.1:0", "--insecure"}},
		{"serve.addr", []string{"--sink", "memory", "--insecure"}},
		{"serve.token_keys", []string{"--sink", "memory", "--addr", "127.0.0.1:0"}},
		{"serve.tls_key", []string{"--sink", "memory", "--addr", "127.0.0.1:0", "--insecure", "--tls-cert", "x"}},
		{"serve.client_ca", []string{"--sink", "memory", "--addr", "127.0.0.1:0", "--insecure", "--client-ca", "x"}},
		{"serve.insecure", []string{"--sink", "memory", "--addr", "127.0.0.1:0", "--insecure", "--allow-uid", "1"}},
		{"serve.allow_uid", []string{"--sink", "memory", "--addr", "127.0.0.1:0", "--allow-uid", "root"}},
		{"loopback", []string{"--sink", "memory", "--addr", "0.0.0.0:0", "--insecure", "--set", "capacity_rows=100"}},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"serve"}, c.args...), &out, &errs); code == 0 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: exit %d, %s does not name %s", c.args, code, &errs, c.want)
		}
	}
	conf := filepath.Join(dir, "c.toml")
	ctx, cancel := context.WithCancel(t.Context())
	if err := os.WriteFile(conf, []byte("capacity_rows = 100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, logs output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--config", conf, "--sink", "memory", "--addr", "127.0.0.1:0", "--metrics-addr", "", "--insecure"}, &out, &logs)
	}()
	waitFor(t, &out, onAddr)
	if err := os.WriteFile(conf, []byte("capacity_rows = 200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, &logs, regexp.MustCompile(`reload refused.*capacity_rows`))
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d\n%s", code, &logs)
	}
}

// A reload that can't take the certificates changes nothing: the tuning stays as it was too, and the mended one need not wait.
func TestReloadIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "own.crt"), filepath.Join(dir, "own.key")
	certtest.Write(t, dir, "own", 1, nil)
	certs, err := adapter.LoadCertificates(cert, key, "")
	if err != nil {
		t.Fatal(err)
	}
	base, tuned := "20ms", []time.Duration(nil)
	s := &service{every: time.Minute, log: slog.New(slog.DiscardHandler), certs: certs, metrics: pipeline.NewMetrics(nil),
		load: func() (*config.Config, []config.Value, error) {
			return config.Load("", nil, []string{"backoff.base=" + base})
		},
		tune: func(t accounting.Tuning) error { tuned = append(tuned, t.Backoff.Base); return nil }}
	if s.c, s.values, err = s.load(); err != nil {
		t.Fatal(err)
	}
	base = "30ms"
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.reload(); len(tuned) != 0 || s.c.Options.Backoff.Base != 20*time.Millisecond {
		t.Errorf("a refused reload has put %v in force", tuned)
	}
	certtest.Write(t, dir, "own", 1, nil)
	if s.reload(); len(tuned) != 1 || tuned[0] != 30*time.Millisecond || s.c.Options.Backoff.Base != tuned[0] {
		t.Errorf("a good reload put %v in force, want 30ms", tuned)
	}
	base = "40ms"
	if s.reload(); len(tuned) != 1 {
		t.Errorf("a second reload within a minute of the first was obeyed: %v", tuned)
	}
}

// spawn starts benchrig as a process of its own, and returns it and what it prints.
func spawn(t *testing.T, args ...string) (*osexec.Cmd, *output) {
	t.Helper()
	var out output
	cmd := osexec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asBenchrig+"=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// What was answered 202 is in the ledger, in order, though the adapter is killed with -9 again and again.
func TestKilledAdapter(t *testing.T) {
	dir := t.TempDir()
	book := filepath.Join(dir, "ledger.db")
	serve := func() (*osexec.Cmd, string) {
		cmd, out := spawn(t, "serve", "--sink", "ledger:"+book, "--addr", "127.0.0.1:0", "--metrics-addr=", "--insecure", "--dir", filepath.Join(dir, "state"), "--set", "capacity_rows=100")
		return cmd, waitFor(t, out, onAddr)
	}
	var mu sync.Mutex
	accepted := map[export.Stream][]canon.SealedSlice{}
	chains := []*exporttest.Chain{exporttest.NewChain(exporttest.Stream("kill", 0), 3), exporttest.NewChain(exporttest.Stream("kill", 4), 3)}
	next := make([]canon.SealedSlice, len(chains))
	for i, c := range chains {
		next[i] = c.Next()
	}
	for round := range 3 {
		cmd, base := serve()
		var wg sync.WaitGroup
		for i := range chains {
			wg.Go(func() {
				client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for {
					res, err := client.Post(base+"/export", canon.MediaType, bytes.NewReader(next[i].Bytes()))
					if err != nil {
						return // killed
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if res.StatusCode != 202 {
						t.Errorf("seq %d: %s", next[i].Head().Seq, res.Status)
						return
					}
					mu.Lock()
					accepted[chains[i].Stream] = append(accepted[chains[i].Stream], next[i])
					mu.Unlock()
					next[i] = chains[i].Next()
				}
			})
		}
		time.Sleep(time.Duration(60+50*round) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		wg.Wait()
	}
	cmd, _ := serve() // exports what is staged, and ends in order
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	l, err := ledger.Open(book, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := 0
	for stream, all := range accepted {
		for _, s := range all {
			got, err := l.Slice(t.Context(), stream, s.Head().Seq)
			if err != nil || got.Digest() != s.Digest() {
				t.Fatalf("%v seq %d was accepted and is not in the ledger: %v", stream, s.Head().Seq, err)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("nothing was accepted")
	}
	t.Logf("%d accepted slices, 3 kills", n)
}

// What a server prints of its socket can be given to --sink as it stands.
func TestSocketAddress(t *testing.T) {
	for _, path := range []string{"s.sock", "./a/../s.sock", "/run/s.sock"} {
		c, err := httpledger.New(socketAddress(path), httpledger.Options{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		_ = c.Close()
	}
}

// The timeouts of the configuration are the server's: who sends half a request is cut off after serve.read_timeout, an idle connection after serve.idle_timeout.
func TestServeTimeouts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out, logs output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--sink", "memory", "--addr", "127.0.0.1:0", "--metrics-addr", "", "--insecure", "--set", "capacity_rows=100",
			"--set", "serve.read_timeout=100ms", "--set", "serve.write_timeout=100ms", "--set", "serve.idle_timeout=150ms"}, &out, &logs)
	}()
	addr := strings.TrimPrefix(waitFor(t, &out, onAddr), "http://")
	for _, sent := range []string{"GET /healthz HTTP/1.1\r\nHost:", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(4 * time.Second)) // before the default of 5 s
		if b, err := io.ReadAll(conn); err != nil || strings.Contains(string(b), "200 OK") != strings.HasSuffix(sent, "\r\n\r\n") {
			t.Errorf("%q: got %q, %v, want the connection's end", sent, b, err)
		}
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d\n%s", code, &logs)
	}
}

// Only what a WAL keeps for the next start is an orderly end: not what is lost with the process, a halted lane, or anything else beside it.
func TestKeptForNext(t *testing.T) {
	kept, lost := &accounting.DrainError{Durable: true}, &accounting.DrainError{}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {kept, true}, {lost, false}, {errors.Join(errors.Join(kept), &lane.DrainError{}), true}, {errors.Join(kept, &lane.DrainError{Halted: 1}), false},
		{errors.Join(kept, os.ErrClosed), false}, {os.ErrClosed, false},
		{&accounting.DrainError{Durable: true, Unsealed: map[string]uint64{"bytes": 1}}, false}, {&accounting.DrainError{Durable: true, Unsealed: map[string]uint64{"bytes": 1}, Kept: true}, true},
	} {
		if got := keptForNext(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}
