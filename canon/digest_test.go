package canon

import (
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	d := Sum([]byte("x"))
	for _, s := range []string{d.String(), "b3:" + strings.ToUpper(d.String()[3:])} {
		if got, err := ParseDigest(s); err != nil || got != d {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "b3:", d.String()[3:], d.String()[:66], d.String() + "0", "B3:" + d.String()[3:], "b3:" + strings.Repeat("g", 64), strings.Repeat("x", 1<<16)} {
		if got, err := ParseDigest(s); err == nil || got != (Digest{}) || len(err.Error()) > 300 {
			t.Errorf("%.80q: got %v, %v", s, got, err)
		}
	}
}

func TestParseCID(t *testing.T) {
	d := Sum([]byte("x"))
	good := d.CID()
	if got, err := ParseCID(good); err != nil || got != d {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "b", good[1:], good[:len(good)-1], good + "a", strings.ToUpper(good), "z" + good[1:], "bafyrei" + good[7:], "bafkr4i" + good[7:],
		good[:len(good)-1] + "b", good + "\n", good[:20] + "\n" + good[20:], strings.Repeat("a", 1<<16)} {
		if got, err := ParseCID(s); err == nil || got != (Digest{}) || len(err.Error()) > 400 {
			t.Errorf("%.80q: got %v, %v", s, got, err)
		}
	}
}

func TestParseID(t *testing.T) {
	id := ID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}
	for _, s := range []string{"0123456789abcdeffedcba9876543210", "0123456789ABCDEFFEDCBA9876543210", "01234567-89ab-cdef-fedc-ba9876543210"} {
		if got, err := ParseID(s); err != nil || got != id {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0123456789abcdeffedcba987654321", "0123456789abcdeffedcba98765432100", "g123456789abcdeffedcba9876543210", "0123456789ab-cdef-fedc-ba9876543210",
		"01234567-89abc-def-fedc-ba9876543210", "{0123456789abcdeffedcba9876543210}"} {
		if got, err := ParseID(s); err == nil {
			t.Errorf("%q: got %v", s, got)
		}
	}
	if got := IDFromUint64(0xaa); got.String() != "000000000000000000000000000000aa" || got.Uint64() != 0xaa {
		t.Errorf("IDFromUint64: got %v", got)
	}
}
