package rig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/redact"
)

// Option is one setting: a flag of the command line and, with _ for -, a key of the configuration file.
type Option struct {
	Name, Value, Help string // Value names the argument in the help; "" is a switch
	set               func(*Settings, string) error
}

// Options lists every setting that a flag or a configuration file can give.
var Options = []Option{
	{"rate", "N|max", "rows a second offered (w3: within a burst), or max: as fast as the recorder takes them", (*Settings).setRate},
	{"duration", "D", "how long (10s; w3 70s)", duration(func(s *Settings) *time.Duration { return &s.Duration }, 1)},
	{"mins", "M", "how long, in minutes", func(s *Settings, v string) error {
		m, err := strconv.ParseFloat(v, 64)
		if err != nil || !(m > 0 && m <= 30*24*60) {
			return want("a number of minutes above 0, at most 43200")
		}
		s.Duration = time.Duration(m * float64(time.Minute))
		return nil
	}},
	{"profile", "P", "micronode (RAM only) or macronode (with a WAL)", oneOf(func(s *Settings) *string { return &s.Profile }, "micronode", "macronode")},
	{"wal", "", "keep sealed slices in a write-ahead log until acked", func(s *Settings, v string) (err error) {
		if s.WAL, err = strconv.ParseBool(v); err != nil {
			return want("true or false")
		}
		return nil
	}},
	{"cap-mb", "N", "cap of the WAL in MiB (512)", integer(func(s *Settings) *int { return &s.CapMB })},
	{"fsync", "POLICY", "of the WAL: on-seal, interval=D or never", (*Settings).setFsync},
	{"fsync-jitter", "A-B", "delay every fsync of the WAL by A to B (w4: 0-5ms)", func(s *Settings, v string) (err error) {
		s.Jitter, err = parseSpan(v)
		return err
	}},
	{"window", "D", "the recorder's window (1s; w3 60s)", duration(func(s *Settings) *time.Duration { return &s.Spec.Window }, time.Second)},
	{"sink", "SINK", "memory, ledger (embedded, durable), http(s)://… or unix://… (a ledger served elsewhere) or nats://… (JetStream)", (*Settings).setSink},
	{"chaos", "FAULTS", "faults with commas between, of 5xx=0.1-0.3, tail=0.1:200ms-800ms, lost=0.05, disconnect=0.01, hang=0.01, dup=0.05, reorder=0.05, outage=5s@10s, fsync=2ms-8ms, oversize, ratio", (*Settings).setChaos},
	{"producers", "N", "goroutines that record (the number of cores)", integer(func(s *Settings) *int { return &s.Producers })},
	{"seed", "N", "seed of keys and order (1)", func(s *Settings, v string) (err error) {
		if s.Spec.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			return want("a number from 0 to 2^64-1")
		}
		return nil
	}},
	{"dir", "D", "keep the ledger and the WAL in D, which must hold none yet; run all: in D/w1 to D/w4 (default: a temporary directory, removed afterwards)", text(func(s *Settings) *string { return &s.Dir })},
	{"short", "", "scaled down, for CI", func(s *Settings, v string) (err error) {
		if s.Short, err = strconv.ParseBool(v); err != nil {
			return want("true or false")
		}
		return nil
	}},
	{"cold", "", "do not make the keys beforehand: the first Record of each is measured too (w3 always)", func(s *Settings, v string) (err error) {
		if s.Cold, err = strconv.ParseBool(v); err != nil {
			return want("true or false")
		}
		return nil
	}},
	{"pending-slices", "N", "sealed slices that the recorder holds until acked (8192, or twice the workload's streams)", integer(func(s *Settings) *int { return &s.Pending })},
	{"lane-capacity", "N", "of them, per stream (1024)", integer(func(s *Settings) *int { return &s.Lane })},
	{"export-workers", "N", "calls to the ledger in flight (the number of cores)", integer(func(s *Settings) *int { return &s.Workers })},
	{"idle-windows", "N", "windows after which an idle key may be evicted (as many as an hour has)", integer(func(s *Settings) *int { return &s.Idle })},
	{"metrics-addr", "ADDR", "serve Prometheus metrics on ADDR while it runs", (*Settings).setMetrics},
	{"drain", "D", "how long to wait for the ledger at the end (1m)", duration(func(s *Settings) *time.Duration { return &s.Drain }, 1)},
	{"tenants", "N", "tenants of the workload", integer(func(s *Settings) *int { return &s.Spec.Tenants })},
	{"dims", "A,B,C", "dimensions of the workload: of bytes, requests, cpu and any other names", func(s *Settings, v string) error {
		s.Spec.Dims = strings.Split(v, ",")
		return nil
	}},
	{"keys", "N", "keys per tenant and dimension", integer(func(s *Settings) *int { return &s.Spec.Keys })},
}

// Set gives a setting by its name. The error says what was got and what is allowed.
func (s *Settings) Set(name, value string) error {
	i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return fmt.Errorf("unknown setting %q: want one of %s", name, strings.Join(names("-"), ", "))
	}
	if err := Options[i].set(s, value); err != nil {
		return fmt.Errorf("%s: got %q: %w", name, redact.Addresses(value), err)
	}
	if other := map[string]string{"duration": "mins", "mins": "duration"}[name]; other != "" {
		delete(s.set, other) // the flag goes before the file, whichever of the two each has
	}
	s.set[name] = value
	return nil
}

func names(dash string) (out []string) {
	for _, o := range Options {
		out = append(out, strings.ReplaceAll(o.Name, "-", dash))
	}
	return out
}

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// FromJSON reads a configuration file like the specification's: {"workload":"W2","rate":100000,"tenants":1000,"mins":10}.
// name, where not "", is the workload asked for on the command line, which the file must not contradict.
func FromJSON(doc []byte, name string) (*Settings, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("want one JSON object: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("want one JSON object, got more after it")
	}
	if w, ok := raw["workload"]; ok {
		given := fmt.Sprint(w)
		if name != "" && !strings.EqualFold(name, given) {
			return nil, fmt.Errorf("workload: the file says %q, the command line %q", given, name)
		}
		name = given
	}
	if name == "" {
		return nil, fmt.Errorf(`workload: want "workload" in the file or a workload on the command line`)
	}
	s, err := Defaults(name)
	if err != nil {
		return nil, err
	}
	if raw["duration"] != nil && raw["mins"] != nil {
		return nil, errors.New("got duration and mins, want one of them")
	}
	keys := make([]string, 0, len(raw))
	for k := range raw {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k == "workload" {
			continue
		}
		if !slices.Contains(names("_"), k) {
			return nil, fmt.Errorf("unknown key %q: want workload, %s", k, strings.Join(names("_"), ", "))
		}
		value, err := plain(raw[k])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if err := s.Set(strings.ReplaceAll(k, "_", "-"), value); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// plain writes a JSON scalar, or a list of them, as a flag would have it.
func plain(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number, bool:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			var err error
			if parts[i], err = plain(e); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("got %v, want a string, a number, true, false or a list", v)
}
