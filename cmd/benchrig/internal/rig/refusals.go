package rig

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
)

// refusals is the fast-reject path under load (--chaos oversize, ratio): while the workload runs, an adapter of the same process, on a
// loopback socket, is sent requests that it must refuse, and how soon it does so is measured.
type refusals struct {
	server *http.Server
	url    string
	stop   chan struct{}
	done   chan struct{}
	hist   *hdrhistogram.Histogram
	out    result.Refusals
}

// refuseEvery is the time between two such requests.
const refuseEvery = 20 * time.Millisecond

// nothing is a queue into which nothing may come.
type nothing struct{}

func (nothing) Put(context.Context, canon.SealedSlice, func()) (export.Ack, error) {
	return 0, errors.New("a request that is to be refused came through")
}
func (nothing) Count(context.Context, canon.Digest, canon.Digest, []byte, ingress.Recount) (bool, error) {
	return false, nil
}
func (nothing) Missing() []pipeline.ReadyKey { return nil }
func (nothing) Stats() ingress.Stats         { return ingress.Stats{} }

func startRefusals(oversize, ratio bool) (*refusals, error) {
	a, err := adapter.New(adapter.Options{Queue: nothing{}, Insecure: true})
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &refusals{
		server: &http.Server{Handler: a, ReadHeaderTimeout: 5 * time.Second}, url: "http://" + ln.Addr().String() + "/export",
		stop: make(chan struct{}), done: make(chan struct{}), hist: hdrhistogram.New(1, int64(time.Minute), 2),
	}
	var bombs []bomb
	if oversize {
		bombs = append(bombs, bomb{body: make([]byte, 1<<20+1), count: &r.out.Oversize})
	}
	if ratio {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 900<<10)) // into memory
		_ = z.Close()
		bombs = append(bombs, bomb{b.Bytes(), "gzip", &r.out.Ratio})
	}
	go func() { _ = r.server.Serve(ln) }() // ends with close
	go r.run(bombs)
	return r, nil
}

// bomb is a request that must be refused with 413.
type bomb struct {
	body     []byte
	encoding string
	count    *uint64
}

func (r *refusals) run(bombs []bomb) {
	defer close(r.done)
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(refuseEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		b := bombs[i%len(bombs)]
		start := time.Now()
		if status := post(client, r.url, b); status != http.StatusRequestEntityTooLarge {
			r.out.Wrong++
			continue
		}
		*b.count++
		_ = r.hist.RecordValue(int64(time.Since(start)))
	}
}

// post returns the answer's status, 0 where there was none.
func post(c *http.Client, url string, b bomb) int {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(b.body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/vnd.ron.slice.v1+dag-cbor")
	req.Header.Set("Ron-B3", canon.Sum(b.body).String())
	if b.encoding != "" {
		req.Header.Set("Content-Encoding", b.encoding)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// close ends it and returns what was seen.
func (r *refusals) close() *result.Refusals {
	close(r.stop)
	<-r.done
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil { // a refused body's connection lingers for half a second, so that its answer is read
		_ = r.server.Close()
	}
	r.out.Latency = result.Of(r.hist, 1e6)
	return &r.out
}
