package jetstream

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads an address as commands take it: nats://HOST:PORT[,nats://HOST:PORT…][?replicas=N]. servers is what Connect takes; o has
// Replicas set. The error says what was got and what is allowed.
func ParseURL(s string) (servers string, o Options, err error) {
	servers, query, _ := strings.Cut(s, "?")
	for a := range strings.SplitSeq(servers, ",") {
		u, err := url.Parse(a)
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "" {
			got := "one that can't be read" // it may hold a password
			if err == nil {
				got = fmt.Sprintf("%.100q", u.Redacted())
			}
			return "", o, fmt.Errorf("accounting/jetstream: address: got %s, want nats://HOST:PORT or tls://HOST:PORT, several with commas between", got)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", o, fmt.Errorf("accounting/jetstream: address: query %.100q: %w", query, err)
	}
	for key, v := range values {
		n, err := strconv.Atoi(v[len(v)-1])
		if key != "replicas" || err != nil || n < 1 || n > 5 {
			return "", o, fmt.Errorf("accounting/jetstream: address: got %.60s=%.60s, want replicas=1 to 5", key, v[len(v)-1])
		}
		o.Replicas = n
	}
	return servers, o, nil
}

// ConnectURL is Connect to an address as ParseURL reads it; what the address says goes before o.
func ConnectURL(ctx context.Context, address string, o Options) (*Exporter, error) {
	servers, said, err := ParseURL(address)
	if err != nil {
		return nil, err
	}
	if said.Replicas > 0 {
		o.Replicas = said.Replicas
	}
	return Connect(ctx, servers, o)
}
