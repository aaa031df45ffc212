package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// A batch of POST /record counts once, whole, though the adapter is killed with -9 again and again and each batch is sent until it is answered.
func TestKilledRecord(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a counter file needs a tmpfs")
	}
	if raceEnabled {
		t.Skip("no counter file under the race detector")
	}
	tmpfs, err := os.MkdirTemp("/dev/shm", "ron-acc-*")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(tmpfs)
	dir := t.TempDir()
	book := filepath.Join(dir, "ledger.db")
	serve := func() (*osexec.Cmd, string) {
		cmd, out := spawn(t, "serve", "--sink", "ledger:"+book, "--addr", "127.0.0.1:0", "--metrics-addr=", "--insecure", "--dir", filepath.Join(dir, "state"),
			"--set", "profile=macronode", "--set", "wal.dir="+filepath.Join(dir, "wal"), "--set", "counter_file="+filepath.Join(tmpfs, "counters"),
			"--set", "capacity_rows=2000", "--set", "window=1s", "--set", "allow_short_window=true")
		return cmd, waitFor(t, out, onAddr)
	}
	const rows, tenant = 400, "00000000000000000000000000000007"
	var body strings.Builder
	for i := range rows {
		fmt.Fprintf(&body, `,{"tenant":"%s","dimension":"requests","subject":"%032x","inc":"%d"}`, tenant, i+1, i+1)
	}
	batch := `{"rows":[` + body.String()[1:] + `]}`
	sent, resent := 0, 0
	unanswered := false
	for round := range 6 {
		cmd, base := serve()
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				if !unanswered {
					sent++
				} else {
					resent++
				}
				req, _ := http.NewRequest("POST", base+"/record", bytes.NewReader([]byte(batch)))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Idempotency-Key", fmt.Sprint("batch-", sent))
				res, err := client.Do(req)
				if err != nil {
					unanswered = true
					return
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if unanswered = res.StatusCode != 200; unanswered {
					t.Errorf("batch %d: %s %s", sent, res.Status, answer)
					return
				}
			}
		}()
		time.Sleep(time.Duration(80+70*round) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-ended
		client.CloseIdleConnections()
	}
	if unanswered {
		sent-- // the last one's fate is told below
	}
	cmd, _ := serve()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(book, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := map[string]string{}
	usage, err := l.Usage(t.Context(), ledger.Query{Group: ledger.BySubject})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		got[u.Subject.String()] = u.Units.String()
	}
	whole := fmt.Sprint(sent)
	if unanswered && got[fmt.Sprintf("%032x", 1)] == fmt.Sprint(sent+1) {
		whole = fmt.Sprint(sent + 1) // it was counted, all of it
	}
	n := 0
	fmt.Sscan(whole, &n)
	for i := range rows {
		if k := fmt.Sprintf("%032x", i+1); got[k] != fmt.Sprint(n*(i+1)) {
			t.Errorf("row %d: got %s units, want %d batches of %d", i, got[k], n, i+1)
		}
	}
	t.Logf("%d batches of %d rows, %d sent again after a kill", n, rows, resent)
}
