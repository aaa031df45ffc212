package config

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// Config is what the keys set.
type Config struct {
	Options accounting.Options
	WAL     wal.Options // used where Dir is set
	Sink    string      // where slices go
	Serve   Serve
}

// Serve is what benchrig serve adds to a recorder.
type Serve struct {
	Addr, UDS, MetricsAddr    string
	TLSCert, TLSKey, ClientCA string
	TokenKeys, Audience       string
	AllowUIDs                 []uint32
	Insecure                  bool
	Dir                       string
	Read, Write, Idle         time.Duration // timeouts
	MaxConns, MaxInflight     int
	MaxInflightBytes          int64
	MaxRows                   int
	StageBytes, StageResident int64
	StageSlices, StageStreams int
	TenantShare               float64
	MaxKeys                   int
}

// Key is one setting.
type Key struct {
	Name       string
	Default    string
	Help       string
	Reloadable bool // may change while it runs
	set        func(*Config, string) error
}

// Keys lists every key, in the order in which they are printed.
var Keys = []Key{
	{"profile", "micronode", "micronode (RAM only) or macronode (with a WAL): sets the defaults of the rest", false, choice(func(c *Config, i int) { c.Options.Profile = accounting.Profile(i) }, "micronode", "macronode")},
	{"sink", "", "where slices go: ledger:FILE, http(s)://…, unix://…, nats://…, or memory (which forgets them: for trials)", false, func(c *Config, v string) error { c.Sink = v; return nil }},
	{"window", "300s", "length of a window: whole seconds, 60s to 1h, a divisor of the period; the same as long as a WAL's directory is used", false, duration(func(c *Config) *time.Duration { return &c.Options.Window })},
	{"allow_short_window", "false", "allow windows from 1s", false, boolean(func(c *Config) *bool { return &c.Options.AllowShortWindow })},
	{"period_boundary", "day", "no slice crosses one: day, hour or month (UTC)", false, choice(func(c *Config, i int) { c.Options.PeriodBoundary = accounting.Period(i) }, "day", "hour", "month")},
	{"capacity_rows", "200000", "keys that can be counted at a time", false, integer(func(c *Config) *int { return &c.Options.CapacityRows })},
	{"max_streams", "131072", "(tenant, dimension) pairs", false, integer(func(c *Config) *int { return &c.Options.MaxStreams })},
	{"max_rows_per_slice", "4096", "rows of a slice; a larger window becomes consecutive slices", false, integer(func(c *Config) *int { return &c.Options.MaxRowsPerSlice })},
	{"pending_slices", "8192", "sealed slices held in RAM until acked", false, integer(func(c *Config) *int { return &c.Options.PendingSlices })},
	{"lane_capacity", "1024", "of them, per stream", false, integer(func(c *Config) *int { return &c.Options.LaneCapacity })},
	{"export_workers", "0", "calls to a sink in flight; 0: the number of cores", false, integer(func(c *Config) *int { return &c.Options.ExportWorkers })},
	{"shards", "64", "index partitions, a power of two", false, integer(func(c *Config) *int { return &c.Options.Shards })},
	{"declare_rollback", "false", "for the start that mends it: slices that a ledger has lost are given up, as a gap, instead of halting their streams", false, boolean(func(c *Config) *bool { return &c.Options.DeclareRollback })},
	{"idle_windows", "12", "windows after which an idle row may be evicted; negative: never", false, integer(func(c *Config) *int { return &c.Options.IdleWindows })},
	{"dimensions", "", "names of the dimensions after bytes, requests and cpu, with commas between", false, list(func(c *Config) *[]string { return &c.Options.Dimensions })},
	{"overflow", "coalesce", "a stream without room: coalesce (a longer slice later) or shed (a declared gap)", false, choice(func(c *Config, i int) { c.Options.Overflow = accounting.OverflowPolicy(i) }, "coalesce", "shed")},
	{"fairness", "round_robin", "turns of the lanes: round_robin or wfq", true, choice(func(c *Config, i int) { c.Options.Fairness = accounting.Fairness(i) }, "round_robin", "wfq")},
	{"weights", "", "for wfq: TENANT=1..8, with commas between", true, weights},
	{"heartbeat", "false", "a stream gone idle seals empty slices for some windows", false, boolean(func(c *Config) *bool { return &c.Options.Heartbeat })},
	{"counter_file", "", "keep the counters in this file on a tmpfs, so that they outlive the process; needs a WAL", false, text(func(c *Config) *string { return &c.Options.CounterFile })},
	{"checkpoint_interval", "0s", "copy what is open into the WAL's directory this often, from 100ms: the most that a power cut may cost; 0s: never. Needs a WAL with wal.fsync = on-seal", false, duration(func(c *Config) *time.Duration { return &c.Options.CheckpointInterval })},
	{"wal.dir", "", "directory of the write-ahead log", false, text(func(c *Config) *string { return &c.WAL.Dir })},
	{"wal.max_bytes", "512MiB", "cap on its bytes", false, size(func(c *Config) *int64 { return &c.WAL.MaxBytes })},
	{"wal.max_entries", "200000", "cap on its unacked slices", false, integer(func(c *Config) *int { return &c.WAL.MaxEntries })},
	{"wal.max_age", "24h", "age of the oldest unacked slice that degrades readiness", false, duration(func(c *Config) *time.Duration { return &c.WAL.MaxAge })},
	{"wal.fsync", "on-seal", "on-seal, interval or never", false, choice(func(c *Config, i int) { c.WAL.Fsync = wal.Policy(i) }, "on-seal", "interval", "never")},
	{"wal.fsync_interval", "1s", "with fsync interval", false, duration(func(c *Config) *time.Duration { return &c.WAL.FsyncInterval })},
	{"wal.lock_wait", "0s", "how long to wait for another owner of the directory", false, duration(func(c *Config) *time.Duration { return &c.WAL.LockWait })},
	{"backoff.base", "50ms", "first bound of the retries' jittered wait", true, duration(func(c *Config) *time.Duration { return &c.Options.Backoff.Base })},
	{"backoff.cap", "2s", "last bound", true, duration(func(c *Config) *time.Duration { return &c.Options.Backoff.Cap })},
	{"op_deadline", "10s", "one export call", true, duration(func(c *Config) *time.Duration { return &c.Options.OpDeadline })},
	{"serve.addr", "", "serve: TCP address, like 127.0.0.1:8421", false, text(func(c *Config) *string { return &c.Serve.Addr })},
	{"serve.uds", "", "serve: path of a Unix socket", false, text(func(c *Config) *string { return &c.Serve.UDS })},
	{"serve.metrics_addr", "127.0.0.1:9464", "serve: TCP address of GET /metrics; empty: none", false, text(func(c *Config) *string { return &c.Serve.MetricsAddr })},
	{"serve.tls_cert", "", "serve: PEM certificate chain; the file is read again at a reload", false, text(func(c *Config) *string { return &c.Serve.TLSCert })},
	{"serve.tls_key", "", "serve: its key", false, text(func(c *Config) *string { return &c.Serve.TLSKey })},
	{"serve.client_ca", "", "serve: PEM authorities; every client must show a certificate of theirs", false, text(func(c *Config) *string { return &c.Serve.ClientCA })},
	{"serve.token_keys", "", "serve: file of root keys, mode 0600; read again at a reload", false, text(func(c *Config) *string { return &c.Serve.TokenKeys })},
	{"serve.audience", "", "serve: what the aud caveat of a token must say", false, text(func(c *Config) *string { return &c.Serve.Audience })},
	{"serve.allow_uid", "", "serve: users that need no token on the Unix socket, with commas between", false, uids},
	{"serve.insecure", "false", "serve: no authentication; loopback addresses only", false, boolean(func(c *Config) *bool { return &c.Serve.Insecure })},
	{"serve.dir", "", "serve: directory of the staging log, of its own; empty: accepted slices are in memory only", false, text(func(c *Config) *string { return &c.Serve.Dir })},
	{"serve.read_timeout", "5s", "serve: for a client to send a request", false, duration(func(c *Config) *time.Duration { return &c.Serve.Read })},
	{"serve.write_timeout", "5s", "serve: for a client to take its answer; making it may take four fifths of that", false, duration(func(c *Config) *time.Duration { return &c.Serve.Write })},
	{"serve.idle_timeout", "60s", "serve: between two requests of a connection", false, duration(func(c *Config) *time.Duration { return &c.Serve.Idle })},
	{"serve.max_conns", "4096", "serve: open connections of each listener", false, integer(func(c *Config) *int { return &c.Serve.MaxConns })},
	{"serve.max_inflight", "1024", "serve: requests with bodies at a time; one principal at most half", false, integer(func(c *Config) *int { return &c.Serve.MaxInflight })},
	{"serve.max_inflight_bytes", "64MiB", "serve: bytes of their bodies; one principal at most half", false, size(func(c *Config) *int64 { return &c.Serve.MaxInflightBytes })},
	{"serve.max_rows", "8192", "serve: rows of a POST /record", false, integer(func(c *Config) *int { return &c.Serve.MaxRows })},
	{"serve.max_keys", "200000", "serve: idempotency keys remembered", false, integer(func(c *Config) *int { return &c.Serve.MaxKeys })},
	{"serve.stage_bytes", "512MiB", "serve: bytes of accepted slices that are not acked", false, size(func(c *Config) *int64 { return &c.Serve.StageBytes })},
	{"serve.stage_slices", "200000", "serve: their number", false, integer(func(c *Config) *int { return &c.Serve.StageSlices })},
	{"serve.stage_resident", "64MiB", "serve: bytes of them kept in memory too", false, size(func(c *Config) *int64 { return &c.Serve.StageResident })},
	{"serve.stage_streams", "131072", "serve: foreign streams known at a time", false, integer(func(c *Config) *int { return &c.Serve.StageStreams })},
	{"serve.tenant_share", "0.5", "serve: part of the staging that one tenant may hold", false, fraction(func(c *Config) *float64 { return &c.Serve.TenantShare })},
	{"drain_deadline", "5s", "how long closing waits for acks", true, duration(func(c *Config) *time.Duration { return &c.Options.DrainDeadline })},
}

// find returns the key of that name.
func find(name string) (Key, bool) {
	i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return Keys[i], true
}

func names() string {
	all := make([]string, len(Keys))
	for i, k := range Keys {
		all[i] = k.Name
	}
	return strings.Join(all, ", ")
}

type setter = func(*Config, string) error

func text(field func(*Config) *string) setter {
	return func(c *Config, v string) error { *field(c) = v; return nil }
}

func list(field func(*Config) *[]string) setter {
	return func(c *Config, v string) error {
		if v != "" {
			*field(c) = strings.Split(v, ",")
		}
		return nil
	}
}

func integer(field func(*Config) *int) setter {
	return func(c *Config, v string) (err error) {
		if *field(c), err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("want a whole number")
		}
		return nil
	}
}

func boolean(field func(*Config) *bool) setter {
	return func(c *Config, v string) (err error) {
		if *field(c), err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("want true or false")
		}
		return nil
	}
}

func duration(field func(*Config) *time.Duration) setter {
	return func(c *Config, v string) (err error) {
		if *field(c), err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("want a duration with its unit, like 300s")
		}
		return nil
	}
}

// size reads bytes with a unit: B, KiB, MiB or GiB.
func size(field func(*Config) *int64) setter {
	return func(c *Config, v string) error {
		digits := strings.TrimRight(v, "KMGiB")
		shift, ok := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[v[len(digits):]]
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || !ok || bits.Len64(n)+shift > 63 {
			return fmt.Errorf("want a size with its unit, like 512MiB")
		}
		*field(c) = int64(n << shift)
		return nil
	}
}

func choice(put func(*Config, int), allowed ...string) setter {
	return func(c *Config, v string) error {
		i := slices.Index(allowed, v)
		if i < 0 {
			return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
		}
		put(c, i)
		return nil
	}
}

func fraction(field func(*Config) *float64) setter {
	return func(c *Config, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f > 0 && f <= 1) {
			return fmt.Errorf("want a number above 0, at most 1")
		}
		*field(c) = f
		return nil
	}
}

func uids(c *Config, v string) error {
	if v == "" {
		return nil
	}
	for part := range strings.SplitSeq(v, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return fmt.Errorf("want user numbers with commas between")
		}
		c.Serve.AllowUIDs = append(c.Serve.AllowUIDs, uint32(n))
	}
	return nil
}

func weights(c *Config, v string) error {
	if v == "" {
		return nil
	}
	c.Options.Weights = map[accounting.ID]uint8{}
	for pair := range strings.SplitSeq(v, ",") {
		name, weight, _ := strings.Cut(pair, "=")
		id, err := accounting.ParseID(strings.TrimSpace(name))
		n, werr := strconv.ParseUint(strings.TrimSpace(weight), 10, 8)
		if err != nil || werr != nil || n < 1 || n > 8 {
			return fmt.Errorf("want TENANT=1..8 with commas between, TENANT as 32 hexadecimal digits")
		}
		c.Options.Weights[id] = uint8(n)
	}
	return nil
}
