package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
)

// TestAdapterLoad measures a served adapter from this process, over loopback TCP and a Unix socket, with tokens verified and slices
// staged on the disk. BENCHRIG_LOAD=1 runs it; the figures stand in docs/PERFORMANCE.md.
func TestAdapterLoad(t *testing.T) {
	if os.Getenv("BENCHRIG_LOAD") == "" {
		t.Skip("BENCHRIG_LOAD=1 runs it: half a minute of load")
	}
	dir := t.TempDir()
	keys, sock := filepath.Join(dir, "keys"), filepath.Join(dir, "s")
	if err := os.WriteFile(keys, []byte(command(t, "", "token", "key", "load")), 0o600); err != nil {
		t.Fatal(err)
	}
	bearer := strings.TrimSpace(command(t, "", "token", "mint", "--keys", keys, "--caveat", "path=/export", "--caveat", "exp=2100-01-01T00:00:00Z"))
	cmd, out := spawn(t, "serve", "--sink", "memory", "--addr", "127.0.0.1:0", "--uds", sock, "--metrics-addr", "127.0.0.1:0", "--token-keys", keys, "--dir", filepath.Join(dir, "state"),
		"--set", "serve.stage_streams=200000", "--set", "serve.tenant_share=1", "--set", "capacity_rows=1000")
	defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }()
	base, metrics := waitFor(t, out, onAddr), waitFor(t, out, onMetrics)
	tcp := func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(base, "http://")) }
	unix := func() (net.Conn, error) { return net.Dial("unix", sock) }

	for name, dial := range map[string]func() (net.Conn, error){"tcp": tcp, "unix": unix} {
		t.Run("1MiB/"+name, func(t *testing.T) {
			const n = 200
			chain := exporttest.NewChain(exporttest.Stream("big "+name, 0), 38_000)
			var reqs [][]byte
			for range n {
				reqs = append(reqs, rawRequest(bearer, chain.Next()))
			}
			lat, took := drive(t, dial, [][][]byte{reqs})
			t.Logf("%d requests of %d KiB, one connection: p50 %v p95 %v p99 %v, %.0f MiB/s", n, len(reqs[n/2])>>10, lat[n/2], lat[n*95/100], lat[n*99/100],
				float64(n*len(reqs[n/2]))/took.Seconds()/(1<<20))
		})
		t.Run("small/"+name, func(t *testing.T) {
			const conns, each = 512, 300
			all := make([][][]byte, conns)
			for c := range all {
				chain := exporttest.NewChain(exporttest.Stream("small "+name, 3*c), 1)
				for range each {
					all[c] = append(all[c], rawRequest(bearer, chain.Next()))
				}
			}
			lat, took := drive(t, dial, all)
			n := len(lat)
			t.Logf("%d requests, %d connections: %.0f req/s, p50 %v p95 %v p99 %v", n, conns, float64(n)/took.Seconds(), lat[n/2], lat[n*95/100], lat[n*99/100])
		})
	}
	t.Run("100k streams", func(t *testing.T) {
		const conns, each = 64, 1600
		all := make([][][]byte, conns)
		for c := range all {
			for i := range each {
				all[c] = append(all[c], rawRequest(bearer, exporttest.NewChain(exporttest.Stream(fmt.Sprint("wide ", c), i), 1).Next()))
			}
		}
		drive(t, tcp, all)
		for _, url := range []string{base + "/readyz", base + "/healthz", metrics} {
			var lat []time.Duration
			for range 1000 {
				start := time.Now()
				res, err := http.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				lat = append(lat, time.Since(start))
			}
			slices.Sort(lat)
			t.Logf("%s with %d streams: p50 %v p95 %v p99 %v", url[strings.LastIndex(url, "/"):], conns*each, lat[500], lat[950], lat[990])
		}
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
			for line := range strings.SplitSeq(string(b), "\n") {
				if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
					t.Log(line)
				}
			}
		}
	})
}

func rawRequest(bearer string, s canon.SealedSlice) []byte {
	return fmt.Appendf(nil, "POST /export HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nRon-B3: %v\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		canon.MediaType, s.Digest(), bearer, len(s.Bytes()), s.Bytes())
}

// drive sends each list of requests over a connection of its own, one after another, and returns the sorted latencies.
func drive(t *testing.T, dial func() (net.Conn, error), all [][][]byte) (lat []time.Duration, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for _, reqs := range all {
		wg.Go(func() {
			c, err := dial()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			mine := make([]time.Duration, 0, len(reqs))
			for _, q := range reqs {
				if ctx.Err() != nil {
					t.Error(ctx.Err())
					return
				}
				at := time.Now()
				if _, err := c.Write(q); err != nil {
					t.Error(err)
					return
				}
				if err := accepted(r); err != nil {
					t.Error(err)
					return
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			lat = append(lat, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took = time.Since(start)
	slices.Sort(lat)
	if len(lat) == 0 {
		t.Fatal("no answers")
	}
	return lat, took
}

// accepted reads one answer, which must be 202 with a length.
func accepted(r *bufio.Reader) error {
	length := -1
	for n := 0; ; n++ {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if n == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 202 ")) {
			rest, _ := r.Peek(min(r.Buffered(), 600))
			return fmt.Errorf("got %q %q", line, rest)
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			fmt.Sscanf(string(v), "%d", &length)
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}
