package adapter

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// principal is who sends a request, and what it may do.
type principal struct {
	name  string // for fairness; never logged
	grant token.Grant
}

// peer is what a connection tells of its other end.
type peer struct {
	unix bool
	uid  uint32
	ok   bool // uid is known
}

type peerKey struct{}

func withPeer(ctx context.Context, p peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// who tells who sends r and that it may come to this resource. A token that is sent is always checked, also from a peer that needs none.
func (a *Adapter) who(r *http.Request) (principal, *refusal) {
	p, _ := r.Context().Value(peerKey{}).(peer)
	headers := r.Header.Values("Authorization")
	switch {
	case a.o.Insecure:
		return principal{name: "anybody"}, nil
	case len(headers) == 0 && p.unix && p.ok && slices.Contains(a.o.AllowUIDs, p.uid):
		return principal{name: "uid " + strconv.FormatUint(uint64(p.uid), 10)}, nil
	case len(headers) == 0 && p.unix && len(a.o.AllowUIDs) > 0:
		return principal{}, refuse(problem.Forbidden, "unauth", "the peer's user is not on the list")
	case len(headers) == 0:
		return principal{}, refuse(problem.Unauth, "unauth", "Authorization: got none, want Bearer and a token")
	}
	kind, text, _ := strings.Cut(headers[0], " ")
	ring := a.tokens.Load()
	if len(headers) > 1 || !strings.EqualFold(kind, "Bearer") || ring == nil {
		return principal{}, refuse(problem.Unauth, "unauth", "Authorization: want one header, Bearer and a token")
	}
	g, err := ring.Verify(text, time.Now())
	if err == nil {
		err = g.Allows("path", r.URL.Path)
	}
	if err == nil {
		err = g.Allows("aud", a.o.Audience)
	}
	if err != nil {
		return principal{}, refusalOf(err)
	}
	name := g.Tenant()
	if name == "" {
		name = g.ID
	}
	return principal{name, g}, nil
}

// may compares a tenant and a dimension with the token's caveats.
func (p *principal) may(tenant canon.ID, dimension string) *refusal {
	err := p.grant.Allows("dimension", dimension)
	if err == nil && p.grant.Tenant() != "" {
		err = p.grant.Allows("tenant", tenant.String())
	}
	if err != nil {
		return refusalOf(err)
	}
	return nil
}
