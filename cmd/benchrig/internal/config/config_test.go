package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

func tomlFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meter.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Flags go before the environment, that before the file, that before the defaults.
func TestPrecedence(t *testing.T) {
	path := tomlFile(t, `
profile = "macronode"
window = "120s"
capacity_rows = 5
pending_slices = 6
dimensions = ["gpu", "disk"]
[wal]
dir = "/tmp/w"
max_bytes = "3KiB"
fsync = "never"
[weights]
00000000000000000000000000000007 = 3
`)
	c, values, err := Load(path, []string{"RON_ACC_WINDOW=180s", "RON_ACC_CAPACITY_ROWS=7", "RON_ACC_CPU=avx2", "HOME=/"}, []string{"window=240s"})
	if err != nil {
		t.Fatal(err)
	}
	o := c.Options
	if o.Window != 240*time.Second || o.CapacityRows != 7 || o.PendingSlices != 6 || o.LaneCapacity != 1024 || o.Profile != accounting.Macronode {
		t.Errorf("got %+v", o)
	}
	if o.WAL == nil || o.WAL.MaxBytes != 3<<10 || o.WAL.Fsync != wal.Never || strings.Join(o.Dimensions, " ") != "gpu disk" || o.Weights[accounting.IDFromUint64(7)] != 3 {
		t.Errorf("got WAL %+v, dimensions %v, weights %v", o.WAL, o.Dimensions, o.Weights)
	}
	origin := map[string]string{}
	for _, v := range values {
		origin[v.Key.Name] = v.Origin
	}
	for key, want := range map[string]string{"window": "flag", "capacity_rows": "RON_ACC_CAPACITY_ROWS", "pending_slices": path, "shards": "default"} {
		if origin[key] != want {
			t.Errorf("%s is from %q, want %q", key, origin[key], want)
		}
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	path := tomlFile(t, "windw = \"1s\"\nprofile = \"nano\"\n[wal]\nmax_bytes = \"12 apples\"\n")
	_, _, err := Load(path, []string{"RON_ACC_SHARD=1"}, []string{"heartbeat=perhaps", "window"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"windw"`, `"nano"`, "micronode", "12 apples", "RON_ACC_SHARD", "perhaps", "key=value"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, _, err := Load("missing.toml", nil, nil); err == nil {
		t.Error("a missing file is accepted")
	}
	if c, _, err := Load("", nil, []string{"window=soon", "shards=3"}); err == nil || c == nil || c.Check() == nil || strings.Contains(c.Check().Error(), "Window") {
		t.Errorf("what could be read is not judged: %+v, %v", c, err)
	}
	c, _, err := Load("", nil, []string{"profile=macronode", "window=7s", "shards=3"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check()
	for _, want := range []string{"wal.dir", "Window", "Shards"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestEveryFaultOfServeIsNamed(t *testing.T) {
	c, _, err := Load("", nil, []string{"serve.read_timeout=0s", "serve.write_timeout=99ms", "serve.idle_timeout=61m", "serve.max_rows=0", "serve.stage_resident=0B",
		"serve.tls_cert=x", "serve.client_ca=y", "serve.max_inflight=1"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.CheckServe()
	for _, want := range []string{"sink", "serve.addr", "serve.token_keys", "serve.tls_key", "serve.read_timeout: got 0s, want 100ms to 1h", "serve.write_timeout", "serve.idle_timeout",
		"serve.max_rows: got 0, want 1 to 65536", "serve.stage_resident", "serve.max_inflight"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	c, _, err = Load("", nil, []string{"sink=memory", "serve.addr=127.0.0.1:0", "serve.insecure=true", "serve.read_timeout=100ms", "serve.idle_timeout=1h"})
	if err == nil {
		err = c.CheckServe()
	}
	if err != nil {
		t.Error(err)
	}
}

// The defaults are the recorder's own.
func TestDefaultsAreValid(t *testing.T) {
	c, _, err := Load("", nil, nil)
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		t.Error(err)
	}
}
