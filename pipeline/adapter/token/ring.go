package token

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	minSecret    = 32      // bytes of a root key
	maxKeys      = 64      // of a ring
	maxKeysBytes = 1 << 16 // of its file
)

var keyName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Ring holds the root keys. It does not change; a rotation makes a new one. Safe for concurrent use.
type Ring struct{ keys []rootKey }

type rootKey struct {
	name   string
	secret []byte
}

// ReadRing reads root keys from a file, which only its owner may read (0600 or stricter). Each line is a key's name and at least
// 64 hexadecimal digits; # begins a comment. The first key signs new tokens, all of them verify: to rotate, put a new key first,
// and take the old one out when its tokens have expired.
func ReadRing(path string) (*Ring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("accounting/token: keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("accounting/token: keys: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("accounting/token: keys: %s: got mode %v, want a regular file that only its owner may read (0600)", path, info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("accounting/token: keys: %w", err)
	}
	r, err := ParseRing(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ParseRing reads what a keys file holds. Its errors name lines, never what is in them.
func ParseRing(b []byte) (*Ring, error) {
	if len(b) > maxKeysBytes {
		return nil, fmt.Errorf("accounting/token: keys: got more than %d bytes", maxKeysBytes)
	}
	r := &Ring{}
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		bad := func(want string) error { return fmt.Errorf("accounting/token: keys: line %d: want %s", n, want) }
		if len(fields) != 2 || !keyName.MatchString(fields[0]) {
			return nil, bad("a name ([a-z0-9_-], at most 32) and a key in hexadecimal digits")
		}
		secret, err := hex.DecodeString(fields[1])
		if err != nil || len(secret) < minSecret {
			return nil, bad(fmt.Sprintf("at least %d hexadecimal digits", 2*minSecret))
		}
		if seen[fields[0]] {
			return nil, bad("a name that was not used above")
		}
		if seen[fields[0]] = true; len(seen) > maxKeys {
			return nil, bad(fmt.Sprintf("at most %d keys", maxKeys))
		}
		r.keys = append(r.keys, rootKey{fields[0], secret})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("accounting/token: keys: %w", err)
	}
	if len(r.keys) == 0 {
		return nil, fmt.Errorf("accounting/token: keys: got none, want at least one")
	}
	return r, nil
}

// Grant is a verified token: what it allows. The zero value allows everything.
type Grant struct {
	ID      string
	caveats []Caveat
}

// Verify checks the signature and exp, and returns what the token allows. The error is ErrInvalid, ErrExpired or (an unknown
// caveat) ErrForbidden, and names no part of the token.
func (r *Ring) Verify(text string, now time.Time) (Grant, error) {
	m, err := parse(text)
	if err != nil {
		return Grant{}, err
	}
	name, ok := keyOf(m.Id())
	if !ok {
		return Grant{}, fmt.Errorf("%w: no key is named", ErrInvalid)
	}
	var secret []byte
	for _, k := range r.keys {
		if k.name == name {
			secret = k.secret
		}
	}
	if secret == nil {
		return Grant{}, fmt.Errorf("%w: signed with a key that is not known here", ErrInvalid)
	}
	conditions, err := m.VerifySignature(secret, nil)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: the signature does not fit", ErrInvalid)
	}
	g := Grant{ID: string(m.Id())}
	for _, text := range conditions {
		c, err := ParseCaveat(text)
		if err != nil {
			return Grant{}, fmt.Errorf("%w: a caveat is not understood", ErrForbidden)
		}
		if c.Name == "exp" {
			if at, _ := time.Parse(time.RFC3339, c.Value); !now.Before(at) {
				return Grant{}, fmt.Errorf("%w: at %s", ErrExpired, c.Value)
			}
			continue
		}
		g.caveats = append(g.caveats, c)
	}
	return g, nil
}

// Allows checks one thing against the caveats of that name; ErrForbidden where one does not hold.
func (g *Grant) Allows(name, value string) error {
	for _, c := range g.caveats {
		if c.Name == name && c.Value != value {
			return fmt.Errorf("%w: the token is for %s %s", ErrForbidden, name, c.Value)
		}
	}
	return nil
}

// Tenant returns the tenant that the token is bound to, "" for any.
func (g *Grant) Tenant() string {
	for _, c := range g.caveats {
		if c.Name == "tenant" {
			return c.Value
		}
	}
	return ""
}
