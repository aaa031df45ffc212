package config

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// check judges the keys of serve that are there; CheckServe adds what serve can't do without.
func (s *Serve) check() (faults []error) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		faults = append(faults, errors.New("serve.tls_cert, serve.tls_key: got one of them, want both or neither"))
	}
	if s.ClientCA != "" && s.TLSCert == "" {
		faults = append(faults, errors.New("serve.client_ca: got one, want serve.tls_cert beside it"))
	}
	if s.Insecure && (s.TokenKeys != "" || len(s.AllowUIDs) > 0) {
		faults = append(faults, errors.New("serve.insecure: got true beside serve.token_keys or serve.allow_uid, want one or the other"))
	}
	for _, d := range []struct {
		key string
		got time.Duration
	}{{"serve.read_timeout", s.Read}, {"serve.write_timeout", s.Write}, {"serve.idle_timeout", s.Idle}} {
		if d.got < 100*time.Millisecond || d.got > time.Hour {
			faults = append(faults, fmt.Errorf("%s: got %v, want 100ms to 1h", d.key, d.got))
		}
	}
	for _, n := range []struct {
		key              string
		got, least, most int64
	}{
		{"serve.max_conns", int64(s.MaxConns), 1, 1 << 20}, {"serve.max_inflight", int64(s.MaxInflight), 2, 1 << 20},
		{"serve.max_inflight_bytes", s.MaxInflightBytes, 4 << 20, math.MaxInt64}, {"serve.max_rows", int64(s.MaxRows), 1, 1 << 16},
		{"serve.max_keys", int64(s.MaxKeys), 1, 1 << 24}, {"serve.stage_bytes", s.StageBytes, 1 << 20, 1 << 50},
		{"serve.stage_slices", int64(s.StageSlices), 1, 1 << 24}, {"serve.stage_resident", s.StageResident, 1, math.MaxInt64},
		{"serve.stage_streams", int64(s.StageStreams), 1, 1 << 24},
	} {
		if n.got < n.least || n.got > n.most {
			faults = append(faults, fmt.Errorf("%s: got %d, want %d to %d", n.key, n.got, n.least, n.most))
		}
	}
	return faults
}

// CheckServe is Check, and what serve needs besides. The error joins every fault.
func (c *Config) CheckServe() error {
	faults := []error{c.Check()}
	s := &c.Serve
	if c.Sink == "" {
		faults = append(faults, errors.New("sink: got none, want ledger:FILE, memory, http(s)://…, unix://… or nats://…"))
	}
	if s.Addr == "" && s.UDS == "" {
		faults = append(faults, errors.New("serve.addr, serve.uds: got neither, want at least one"))
	}
	if !s.Insecure && s.TokenKeys == "" && len(s.AllowUIDs) == 0 {
		faults = append(faults, errors.New("serve.token_keys, serve.allow_uid: got neither, want one (or serve.insecure, on loopback)"))
	}
	return errors.Join(faults...)
}
