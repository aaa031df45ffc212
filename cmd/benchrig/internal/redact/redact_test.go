package redact

import "testing"

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"nats://u:secret@":                            "nats://u:xxxxx@",
		"nats://u:secret@a:4222,nats://v:secret@b":    "nats://u:xxxxx@a:4222,nats://v:xxxxx@b",
		"nats://u:secret@host:99999?replicas=3":       "nats://u:xxxxx@host:99999?replicas=3",
		"http://:secret@127.0.0.1:1/x":                "http://:xxxxx@127.0.0.1:1/x",
		"http://127.0.0.1:80/a:b@c":                   "http://127.0.0.1:80/a:b@c",
		"unix:///run/ledger.sock":                     "unix:///run/ledger.sock",
		"dial nats://u:sec%20ret@h: refused, no luck": "dial nats://u:xxxxx@h: refused, no luck",
		"ledger": "ledger",
	} {
		if got := Addresses(in); got != want {
			t.Errorf("Addresses(%q) = %q, want %q", in, got, want)
		}
	}
}
