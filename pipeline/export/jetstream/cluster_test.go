package jetstream_test

import (
	"context"
	"fmt"
	"net"
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

// cluster is three nats-servers in this process that replicate JetStream among each other.
type cluster struct {
	t      testing.TB
	nodes  []*server.Server
	dirs   []string
	ports  []int // of the routes
	client []int
	routes []*url.URL
	urls   string // of all nodes, as Connect takes them
}

// startCluster returns once the cluster takes streams of three replicas.
func startCluster(t testing.TB) *cluster {
	c := &cluster{t: t, nodes: make([]*server.Server, 3)}
	var urls []string
	for range c.nodes {
		c.ports, c.client, c.dirs = append(c.ports, freePort(t)), append(c.client, freePort(t)), append(c.dirs, t.TempDir())
	}
	for i, p := range c.ports {
		c.routes = append(c.routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.client[i]))
	}
	c.urls = strings.Join(urls, ",")
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	for i := range c.nodes {
		c.start(i)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		e, err := jetstream.Connect(context.Background(), c.urls, jetstream.Options{Replicas: 3})
		if err == nil {
			_ = e.Close()
			return c
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func freePort(t testing.TB) (port int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func (c *cluster) start(i int) {
	s, err := server.NewServer(&server.Options{ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: c.client[i], JetStream: true, StoreDir: c.dirs[i],
		NoLog: true, NoSigs: true, MaxPayload: 2 << 20, SyncAlways: true, Routes: c.routes,
		Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: c.ports[i]}})
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		c.t.Fatal("a node did not start")
	}
	c.nodes[i] = s
}

func (c *cluster) stop(i int) {
	if c.nodes[i] != nil {
		c.nodes[i].Shutdown()
		c.nodes[i].WaitForShutdown()
		c.nodes[i] = nil
	}
}

// TestCluster puts chains into a stream of three replicas while a node is stopped and started again: all is held, once. It takes some
// ten seconds: BENCHRIG_LONG=1 runs it.
func TestCluster(t *testing.T) {
	if os.Getenv("BENCHRIG_LONG") == "" {
		t.Skip("BENCHRIG_LONG=1 runs the cluster test")
	}
	c := startCluster(t)
	e, err := jetstream.Connect(context.Background(), c.urls, jetstream.Options{Replicas: 3})
	if err != nil {
		t.Fatal(err)
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
			c.stop(1)
		case 40:
			c.start(1)
		}
		var batch []canon.SealedSlice
		for _, ch := range chains {
			batch = append(batch, ch.Next())
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
	follow(t, c.nodes[0].ClientURL(), rounds*uint64(len(chains)))
}
