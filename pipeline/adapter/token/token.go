// Package token mints, narrows, reads and verifies the adapter's bearer tokens: macaroons, format v2, in base64url without
// padding. A token is signed with a root key that only the adapter has; who holds a token can add caveats that narrow it, without
// that key, and nobody can take one away.
//
// A caveat is name=value, and all of a token's caveats must hold:
//
//	tenant=<32 hex>      only this tenant's usage
//	dimension=<name>     only this dimension
//	aud=<text>           only at the adapter of that name
//	exp=<RFC 3339>       not from that moment on
//	path=</export>       only this resource
//
// A token with a caveat of any other name is refused: what is not understood can't be said to hold. So are third-party
// caveats. The identifier is ron1:<key>:<16 hex>: the root key's name and a random part.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"gopkg.in/macaroon.v2"

	"github.com/ron-accounting/ron-accounting/canon"
)

const (
	maxToken   = 4096 // characters
	maxCaveats = 32
	scheme     = "ron1:"
)

var (
	// ErrInvalid: no token, or not one that a known key has signed.
	ErrInvalid = errors.New("accounting/token: invalid")
	// ErrExpired: an exp caveat does not hold any more.
	ErrExpired = errors.New("accounting/token: expired")
	// ErrForbidden: a caveat does not hold for what is asked.
	ErrForbidden = errors.New("accounting/token: forbidden")
	// ErrCaveat: a caveat that can't be written: unknown name, or a value of the wrong form.
	ErrCaveat = errors.New("accounting/token: caveat")
)

// Caveat is one condition.
type Caveat struct{ Name, Value string }

func (c Caveat) String() string { return c.Name + "=" + c.Value }

// ParseCaveat reads name=value and checks it.
func ParseCaveat(s string) (Caveat, error) {
	name, value, ok := strings.Cut(s, "=")
	c := Caveat{name, value}
	if !ok {
		return c, fmt.Errorf("%w: got %.80q, want name=value", ErrCaveat, s)
	}
	bad := ""
	switch name {
	case "tenant":
		if id, err := canon.ParseID(value); err != nil || id.String() != value {
			bad = "32 lower-case hexadecimal digits"
		}
	case "dimension":
		if !canon.ValidName(value) {
			bad = "a dimension's name"
		}
	case "aud":
		if value == "" || len(value) > 255 {
			bad = "1 to 255 characters"
		}
	case "exp":
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			bad = "a time like 2030-01-02T15:04:05Z"
		}
	case "path":
		if !strings.HasPrefix(value, "/") || len(value) > 255 {
			bad = "a path that begins with /"
		}
	default:
		return c, fmt.Errorf("%w: unknown name %.40q, want tenant, dimension, aud, exp or path", ErrCaveat, name)
	}
	if bad != "" {
		return c, fmt.Errorf("%w: %s: got %.80q, want %s", ErrCaveat, name, value, bad)
	}
	return c, nil
}

// Mint makes a token of the ring's first key.
func (r *Ring) Mint(caveats ...Caveat) (string, error) {
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	k := r.keys[0]
	m, err := macaroon.New(k.secret, []byte(scheme+k.name+":"+hex.EncodeToString(nonce[:])), "", macaroon.V2)
	if err != nil {
		return "", fmt.Errorf("accounting/token: %w", err)
	}
	return add(m, caveats)
}

// Attenuate returns text with more caveats. It needs no key, and checks no signature.
func Attenuate(text string, caveats ...Caveat) (string, error) {
	m, err := parse(text)
	if err != nil {
		return "", err
	}
	return add(m, caveats)
}

func add(m *macaroon.Macaroon, caveats []Caveat) (string, error) {
	for _, c := range caveats {
		if _, err := ParseCaveat(c.String()); err != nil {
			return "", err
		}
		if err := m.AddFirstPartyCaveat([]byte(c.String())); err != nil {
			return "", fmt.Errorf("accounting/token: %w", err)
		}
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return "", fmt.Errorf("accounting/token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(b)
	if len(text) > maxToken || len(m.Caveats()) > maxCaveats {
		return "", fmt.Errorf("%w: the token would have %d characters and %d caveats, want at most %d and %d", ErrCaveat, len(text), len(m.Caveats()), maxToken, maxCaveats)
	}
	return text, nil
}

// Info is what a token says of itself; nothing of it is verified.
type Info struct {
	Key     string // the root key's name
	ID      string // the whole identifier
	Caveats []string
}

// Inspect reads a token without verifying it.
func Inspect(text string) (Info, error) {
	m, err := parse(text)
	if err != nil {
		return Info{}, err
	}
	in := Info{ID: string(m.Id())}
	in.Key, _ = keyOf(m.Id())
	for _, c := range m.Caveats() {
		in.Caveats = append(in.Caveats, string(c.Id))
	}
	return in, nil
}

// parse reads the form only. Its errors say nothing of the text, which is a secret.
func parse(text string) (*macaroon.Macaroon, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("%w: got %d characters, want at most %d", ErrInvalid, len(text), maxToken)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64url without padding", ErrInvalid)
	}
	var m macaroon.Macaroon
	if len(b) == 0 || b[0] != 2 { // the library reads v1 and JSON too
		return nil, fmt.Errorf("%w: not a macaroon of format v2", ErrInvalid)
	}
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("%w: not a macaroon of format v2", ErrInvalid)
	}
	if n := len(m.Caveats()); n > maxCaveats {
		return nil, fmt.Errorf("%w: got %d caveats, want at most %d", ErrInvalid, n, maxCaveats)
	}
	for _, c := range m.Caveats() {
		if len(c.VerificationId) > 0 || c.Location != "" {
			return nil, fmt.Errorf("%w: a third-party caveat", ErrInvalid)
		}
	}
	return &m, nil
}

// keyOf returns the root key's name.
func keyOf(id []byte) (string, bool) {
	rest, ok := strings.CutPrefix(string(id), scheme)
	name, _, two := strings.Cut(rest, ":")
	return name, ok && two
}
