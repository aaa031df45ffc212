package jetstream_test

import (
	"strings"
	"testing"

	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
)

func TestParseURL(t *testing.T) {
	for in, want := range map[string]int{"nats://127.0.0.1:4222": 0, "nats://a:1,tls://b:2?replicas=3": 3, "nats://a:1?replicas=1": 1} {
		servers, o, err := jetstream.ParseURL(in)
		if err != nil || o.Replicas != want || servers == "" || servers[len(servers)-1] == '?' {
			t.Errorf("%s: got %q, %d replicas, %v", in, servers, o.Replicas, err)
		}
	}
	for _, in := range []string{"http://u:secret@a:1", "nats://u:secret@a:x", "nats://a:1,http://u:secret@b"} {
		if _, _, err := jetstream.ParseURL(in); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", in, err)
		}
	}
	for _, in := range []string{"", "http://a:1", "nats://", "nats://a:1,", "nats://a:1?replicas=0", "nats://a:1?replicas=x", "nats://a:1?replica=3", "nats://a:1?%"} {
		if _, _, err := jetstream.ParseURL(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}
