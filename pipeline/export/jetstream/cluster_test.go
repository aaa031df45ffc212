package jetstream_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
)

// TestCluster puts chains into a stream of three replicas while a node is stopped and started again: all is held, once. It takes some
// ten seconds: RON_ACC_LONG=1 runs it.
func TestCluster(t *testing.T) {
	if os.Getenv("RON_ACC_LONG") == "" {
		t.Skip("RON_ACC_LONG=1 runs the cluster test")
	}
	ports := make([]int, 3)
	for i := range ports {
		p := newProxy(t, "127.0.0.1:1") // only for a free port
		fmt.Sscanf(p.ln.Addr().String()[strings.LastIndex(p.ln.Addr().String(), ":")+1:], "%d", &ports[i])
		_ = p.ln.Close()
	}
	var routes []*url.URL
	for _, p := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	start := func(i, port int) *server.Server {
		s, err := server.NewServer(&server.Options{ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dirs[i],
			NoLog: true, NoSigs: true, MaxPayload: 2 << 20, SyncAlways: true, Routes: routes,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]}})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		return s
	}
	nodes := make([]*server.Server, 3)
	var urls []string
	for i := range nodes {
		nodes[i] = start(i, -1)
		if !nodes[i].ReadyForConnections(10 * time.Second) {
			t.Fatal("a node did not start")
		}
		urls = append(urls, nodes[i].ClientURL())
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			n.Shutdown()
			n.WaitForShutdown()
		}
	})
	var e *jetstream.Exporter
	var err error
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if e, err = jetstream.Connect(context.Background(), strings.Join(urls, ","), jetstream.Options{Replicas: 3}); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer e.Close()
	chains := make([]*exporttest.Chain, 10)
	for i := range chains {
		chains[i] = exporttest.NewChain(exporttest.Stream("cluster", i), 2)
	}
	const rounds = 60
	retries := 0
	for round := range rounds {
		switch round {
		case 20:
			nodes[1].Shutdown()
			nodes[1].WaitForShutdown()
		case 40:
			nodes[1] = start(1, -1)
		}
		var batch []canon.SealedSlice
		for _, c := range chains {
			batch = append(batch, c.Next())
		}
		for end := time.Now().Add(20 * time.Second); len(batch) > 0; {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			var left []canon.SealedSlice
			var last error
			for i, r := range e.PutBatch(ctx, batch) {
				if r.Err != nil {
					left, last = append(left, batch[i]), r.Err
				}
			}
			cancel()
			if batch = left; len(batch) > 0 {
				retries++
				if time.Now().After(end) {
					t.Fatalf("round %d: %v", round, last)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	t.Logf("%d retries", retries)
	follow(t, nodes[0].ClientURL(), rounds*uint64(len(chains)))
}
