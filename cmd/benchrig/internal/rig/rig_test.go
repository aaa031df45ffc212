package rig

import (
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/load"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t *testing.T, name string, pairs ...string) *Settings {
	t.Helper()
	s, err := Defaults(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if err := s.Set(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	return s
}

// bent is a recorder with a fault: once, a unit is recorded too much (by > 0) or a row is swallowed (by < 0).
type bent struct {
	load.Target
	by   int
	done *atomic.Bool
	size *atomic.Uint64 // of the swallowed row
}

func (b bent) RecordBatch(batch *workload.Batch) {
	if !b.done.CompareAndSwap(false, true) {
		b.Target.RecordBatch(batch)
		return
	}
	changed := *batch
	if b.by > 0 {
		changed.Incs[0] += uint64(b.by)
	} else {
		b.size.Store(changed.Incs[0])
		changed.Incs[0] = 0
	}
	b.Target.RecordBatch(&changed)
}

// The proof catches one unit too many and one row too few in a whole run, and says so.
func TestProofCatchesEveryUnit(t *testing.T) {
	for _, c := range []struct {
		name string
		by   int
	}{{"nothing", 0}, {"doubled", 1}, {"lost", -1}} {
		s := settings(t, "w1", "sink", "memory", "duration", "500ms")
		size := new(atomic.Uint64)
		if c.by != 0 {
			s.bend = func(to load.Target) load.Target { return bent{to, c.by, new(atomic.Bool), size} }
		}
		r, err := Run(t.Context(), s, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		lost, double := "0", "0"
		switch c.name {
		case "doubled":
			double = "1"
		case "lost":
			lost = new(big.Int).SetUint64(size.Load()).String()
		}
		got := r.Conservation
		if got.Lost != lost || got.Double != double || got.Intact() != (c.by == 0) || r.Pass && c.by != 0 {
			t.Errorf("%s: lost %s double %s pass %v, want %s and %s", c.name, got.Lost, got.Double, r.Pass, lost, double)
		}
	}
}

// Faults on the way to the ledger cost retries, and no unit.
func TestChaosLosesNothing(t *testing.T) {
	s := settings(t, "w2", "sink", "memory", "duration", "2s", "tenants", "20", "rate", "20000",
		"chaos", "5xx=0.1-0.3,lost=0.2,dup=0.2,tail=0.1:10ms-50ms,outage=1200ms@500ms")
	r, err := Run(t.Context(), s, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Conservation.Intact() || r.Conservation.Pending != "0" {
		t.Errorf("got %+v", r.Conservation)
	}
	if len(r.Export.Retries) == 0 {
		t.Error("no retry: the chaos did not happen")
	}
}

func TestWorkloadsRun(t *testing.T) {
	for _, c := range [][]string{
		{"w1", "rate", "max", "duration", "300ms"},
		{"w2", "duration", "300ms", "cold", "true"},
		{"w3", "duration", "300ms", "short", "true", "keys", "100", "rate", "10000"},
	} {
		r, err := Run(t.Context(), settings(t, c[0], c[1:]...), Hooks{})
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if !r.Conservation.Intact() || r.Record.Count == 0 || len(r.Record.Rejected) > 0 {
			t.Errorf("%v: %d rows, rejected %v, %+v", c, r.Record.Count, r.Record.Rejected, r.Conservation)
		}
	}
}

// An address with port 0 is of no use to who is not told the port.
func TestSaysWhereTheMetricsAre(t *testing.T) {
	var said, body string
	hooks := Hooks{Say: func(s string) { said = s }}
	hooks.Tick = func(View) {
		resp, err := http.Get(strings.TrimPrefix(said, "metrics on "))
		if err != nil {
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body = string(b)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	if _, err := Run(t.Context(), settings(t, "w1", "sink", "memory", "duration", "1200ms", "metrics-addr", "127.0.0.1:0"), hooks); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body, "accounting_sealed_slices_total") {
		t.Errorf("said %q; read %.200q", said, body)
	}
}

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]string{"0-5ms": "0s 5ms", "2ms-8ms": "2ms 8ms", "2-8ms": "2ms 8ms", "8ms-2ms": "", "5ms": "", "a-b": "", "0-2h": "", "": ""} {
		got, err := parseSpan(text)
		if text := got.Least.String() + " " + got.Most.String(); err == nil && text != want || err != nil && want != "" {
			t.Errorf("got %q, %v; want %q", text, err, want)
		}
	}
}

func TestFromJSON(t *testing.T) {
	s, err := FromJSON([]byte(`{ "workload":"W2", "rate":100000, "tenants":1000, "dims":["bytes","requests","cpu"], "mins":10 }`), "")
	if err == nil {
		err = s.Finish()
	}
	if err != nil || s.Spec.Name != "w2" || s.Duration.Minutes() != 10 || s.Spec.Total() != 300_000 {
		t.Errorf("the specification's example: %v, %+v", err, s)
	}
	for doc, want := range map[string]string{
		`[]`: "JSON object", `{}`: "workload", `{"workload":"w1"} {}`: "after it", `{"workload":"w1","rate":{}}`: "rate", `{"workload":"w1","fsync_jitter":1}`: "A-B",
		`{"workload":"w1","duration":"5s","mins":1}`: "one of them",
	} {
		if _, err := FromJSON([]byte(doc), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", doc, err, want)
		}
	}
}

// What the ledger serves over HTTP is what its file holds: both read by code that is not the ledger's.
func TestLedgerServesWhatItsFileHolds(t *testing.T) {
	dir := t.TempDir()
	s := settings(t, "w2", "tenants", "5", "rate", "20000", "duration", "1s", "dir", dir)
	if _, err := Run(t.Context(), s, Hooks{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ledger.db")
	file, served := conserve.NewBook(), conserve.NewBook()
	if err := file.ReadLedgerFile(path); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	srv := httptest.NewServer(l.Handler(ledger.HandlerOptions{}))
	defer srv.Close()
	if err := served.ReadHTTP(t.Context(), srv.Client(), srv.URL, nil); err != nil {
		t.Fatal(err)
	}
	if breaks := served.Breaks(1); served.Slices != file.Slices || served.Rows != file.Rows || served.Streams() != 15 || len(breaks) > 0 {
		t.Errorf("served %d slices, %d rows, %d streams, breaks %v; the file holds %d slices, %d rows", served.Slices, served.Rows, served.Streams(), breaks, file.Slices, file.Rows)
	}
	// A second run goes into the same ledger by HTTP, and proves its own slices only.
	again := settings(t, "w2", "tenants", "5", "rate", "20000", "duration", "1s", "sink", srv.URL)
	r, err := Run(t.Context(), again, Hooks{})
	if err != nil || !r.Conservation.Intact() || r.Conservation.Streams != 15 {
		t.Fatalf("over HTTP: %v, %+v", err, r)
	}
}

func TestJetStreamHoldsEveryUnit(t *testing.T) {
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	o.SyncAlways = true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	s := settings(t, "w2", "tenants", "5", "rate", "20000", "duration", "1s", "sink", srv.ClientURL())
	r, err := Run(t.Context(), s, Hooks{})
	if err != nil || !r.Conservation.Intact() || r.Conservation.Streams != 15 {
		t.Fatalf("%v, %+v", err, r)
	}
}

// Requests that are too large or too compressed are refused while the load runs, and the load is not harmed.
func TestFastRejectPath(t *testing.T) {
	s, err := Defaults("w1")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"duration": "500ms", "sink": "memory", "chaos": "oversize,ratio"} {
		if err := s.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Refused; f == nil || f.Oversize == 0 || f.Ratio == 0 || f.Wrong != 0 || f.Latency.P50 <= 0 || !r.Conservation.Intact() {
		t.Errorf("%+v, %+v, %v", f, r.Conservation, r.Notes)
	}
}

// Keys are evicted after the time that the recorder's defaults come to, however short the run's windows are.
func TestIdleTime(t *testing.T) {
	for _, c := range []struct {
		want int
		args []string
	}{{3600, nil}, {60, []string{"window", "60s"}}, {1, []string{"window", "1h"}}, {12, []string{"idle-windows", "12"}}} {
		if s := settings(t, "w2", c.args...); s.Idle != c.want {
			t.Errorf("%v: %d windows, want %d", c.args, s.Idle, c.want)
		}
	}
}

// A ledger that is not there, or is none, is refused before anything is recorded.
func TestSinkMustAnswer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ sink, want string }{
		{other.URL, "404"}, {gone.URL, "refused"}, {"unix://" + filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		_, err := Run(t.Context(), settings(t, "w1", "sink", c.sink, "duration", "300ms"), Hooks{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "ledger serve") {
			t.Errorf("%s: got %v, want it to say %q", c.sink, err, c.want)
		}
	}
}
