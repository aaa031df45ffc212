//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestServeOnAFullDisk: a WAL whose file system, of two megabytes, is really full, and then one without a file descriptor left. Counting goes on, readiness says
// wal_ok and the log why; with the cause gone it recovers without a restart, and the ledger has every unit once.
func TestServeOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	mount, book := filepath.Join(dir, "disk"), filepath.Join(dir, "ledger.db")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", mount, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	cmd, out := spawn(t, "serve", "--sink", "ledger:"+book, "--addr", "127.0.0.1:0", "--metrics-addr=", "--insecure", "--set", "profile=macronode",
		"--set", "wal.dir="+filepath.Join(mount, "wal"), "--set", "wal.max_bytes=1MiB", "--set", "window=1s", "--set", "allow_short_window=true",
		"--set", "capacity_rows=3000", "--set", "checkpoint_interval=200ms")
	defer func() { _ = cmd.Process.Kill() }()
	base := waitFor(t, out, onAddr)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxConnsPerHost: 1}} // one connection, which outlives the descriptors
	defer client.CloseIdleConnections()
	var sum, posts int
	count := func() {
		t.Helper()
		var b strings.Builder
		for i := range 1500 {
			fmt.Fprintf(&b, `,{"tenant":"00000000000000000000000000000007","dimension":"bytes","ns":1,"subject":"%032x","inc":"%d"}`, i+1, 1+posts)
			sum += 1 + posts
		}
		posts++
		req, _ := http.NewRequest("POST", base+"/record", strings.NewReader(`{"rows":[`+b.String()[1:]+`]}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", fmt.Sprint(posts))
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode/100 != 2 {
			t.Fatalf("/record: %s %s\n%s", res.Status, body, out)
		}
	}
	ready := func(want int, missing string, log *regexp.Regexp, from int) {
		t.Helper()
		var last string
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			count()
			res, err := client.Get(base + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			last = fmt.Sprintf("%s %s", res.Status, body)
			if res.StatusCode == want && strings.Contains(last, missing) && log.MatchString(out.String()[from:]) {
				return
			}
		}
		t.Fatalf("/readyz: got %s, want %d %s, and %v in the log:\n%s", last, want, missing, log, out.String()[from:])
	}
	anything := regexp.MustCompile("")
	ready(200, "", anything, 0)

	from := len(out.String())
	filler := filepath.Join(mount, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("two megabytes take four")
	}
	ready(503, "wal_ok", regexp.MustCompile(`WAL degraded.*no space left on device`), from)
	ready(503, "wal_ok", regexp.MustCompile(`seal failed.*no space left on device`), from) // not the checkpoint alone
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ready(200, "", regexp.MustCompile("WAL well again"), from)

	from = len(out.String())
	few, old := unix.Rlimit{Cur: 3, Max: 1024}, unix.Rlimit{}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	few.Max = old.Max
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	ready(503, "wal_ok", regexp.MustCompile(`WAL degraded.*too many open files`), from)
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	ready(200, "", regexp.MustCompile("WAL well again"), from)

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := command(t, "", "ledger", "usage", "--file", book); !strings.Contains(got, fmt.Sprintf("%d", sum)) {
		t.Errorf("the ledger holds %s, want %d units", got, sum)
	}
}
