package token

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/macaroon.v2"
)

const keyA, keyB = "a 00000000000000000000000000000000000000000000000000000000000000aa\n", "b 00000000000000000000000000000000000000000000000000000000000000bb # old\n"

func ring(t testing.TB, text string) *Ring {
	t.Helper()
	r, err := ParseRing([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cv(t testing.TB, texts ...string) (out []Caveat) {
	t.Helper()
	for _, s := range texts {
		c, err := ParseCaveat(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestCaveats(t *testing.T) {
	r := ring(t, keyA)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	tenant := "00000000000000000000000000000007"
	text, err := r.Mint(cv(t, "tenant="+tenant, "exp=2030-01-01T00:00:01Z", "path=/export")...)
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.Verify(text, now)
	if err != nil || g.Tenant() != tenant {
		t.Fatal(g, err)
	}
	for _, c := range []struct {
		name, value string
		ok          bool
	}{{"tenant", tenant, true}, {"tenant", "00000000000000000000000000000008", false}, {"path", "/export", true}, {"path", "/record", false}, {"aud", "x", true}, {"dimension", "cpu", true}} {
		if err := g.Allows(c.name, c.value); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	if _, err := r.Verify(text, now.Add(time.Second)); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v, want expired", err)
	}
	narrow, err := Attenuate(text, cv(t, "dimension=cpu", "tenant=00000000000000000000000000000008")...)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = r.Verify(narrow, now); err != nil {
		t.Fatal(err)
	}
	if g.Allows("dimension", "bytes") == nil || g.Allows("tenant", tenant) == nil {
		t.Error("a caveat that was added does not bind")
	}
	if in, err := Inspect(narrow); err != nil || in.Key != "a" || len(in.Caveats) != 5 {
		t.Errorf("got %+v, %v", in, err)
	}
}

func TestRotation(t *testing.T) {
	old := ring(t, keyB)
	text, err := old.Mint()
	if err != nil {
		t.Fatal(err)
	}
	both := ring(t, keyA+keyB)
	if _, err := both.Verify(text, time.Now()); err != nil {
		t.Error(err)
	}
	fresh, _ := both.Mint()
	if in, _ := Inspect(fresh); in.Key != "a" {
		t.Errorf("new tokens are signed with %s, want the first key", in.Key)
	}
	if _, err := ring(t, keyA).Verify(text, time.Now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a key that was taken out still verifies: %v", err)
	}
}

func TestForgeries(t *testing.T) {
	r := ring(t, keyA)
	good, _ := r.Mint(cv(t, "path=/export")...)
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for i := range raw { // any changed byte
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		if _, err := r.Verify(base64.RawURLEncoding.EncodeToString(bad), time.Now()); err == nil {
			t.Fatalf("a token with byte %d changed verifies", i)
		}
	}
	secret := r.keys[0].secret
	make := func(build func(*macaroon.Macaroon)) string {
		m, _ := macaroon.New(secret, []byte("ron1:a:00"), "", macaroon.V2)
		build(m)
		b, _ := m.MarshalBinary()
		return base64.RawURLEncoding.EncodeToString(b)
	}
	unknown := make(func(m *macaroon.Macaroon) { _ = m.AddFirstPartyCaveat([]byte("colour=red")) })
	third := make(func(m *macaroon.Macaroon) { _ = m.AddThirdPartyCaveat(secret, []byte("x"), "elsewhere") })
	for _, c := range []struct {
		text string
		want error
	}{{"", ErrInvalid}, {good + "=", ErrInvalid}, {"####", ErrInvalid}, {strings.Repeat("A", 5000), ErrInvalid}, {unknown, ErrForbidden}, {third, ErrInvalid}, {"eyJ9", ErrInvalid}} {
		if _, err := r.Verify(c.text, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%.20s: got %v, want %v", c.text, err, c.want)
		}
	}
}

func TestKeysFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("# root keys\n"+keyA+keyB), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadRing(path); err != nil || len(r.keys) != 2 {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRing(path); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("others may read it: %v", err)
	}
	for _, bad := range []string{"", "a 1234", "a", keyA + keyA, "UPPER " + strings.Repeat("a", 64), "a " + strings.Repeat("g", 64)} {
		if _, err := ParseRing([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "ggg") || strings.Contains(err.Error(), "1234") {
			t.Errorf("%v tells the key", err)
		}
	}
	for _, bad := range []string{"tenant=7", "exp=tomorrow", "path=export", "aud=", "colour=red", "tenant", "dimension=Bytes"} {
		if _, err := ParseCaveat(bad); !errors.Is(err, ErrCaveat) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	r := ring(f, keyA)
	good, _ := r.Mint(cv(f, "path=/export")...)
	f.Add(good)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := r.Verify(text, time.Now())
		if err == nil && text != good && g.Allows("path", "/record") == nil {
			t.Errorf("%q verifies and allows more", text)
		}
		_, _ = Inspect(text)
	})
}

func FuzzParseRing(f *testing.F) {
	f.Add([]byte(keyA + keyB))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRing(b); err == nil && len(r.keys[0].secret) < minSecret {
			t.Error("a short key is taken")
		}
	})
}
