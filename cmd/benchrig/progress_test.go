package main

import (
	"strings"
	"testing"
	"time"
)

// Short work says nothing; long work says how far it is, now and then.
func TestProgress(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.tell(1, 4)
	p.next = time.Now().Add(-time.Second)
	p.tell(2, 4)
	p.tell(3, 4)
	if b.String() != "50 % read\n" {
		t.Errorf("got %q", &b)
	}
}
