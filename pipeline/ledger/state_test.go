package ledger

import (
	"errors"
	"testing"
)

// TestStateFitsTheFile: one flipped byte in the file's own counts must not make a reader walk 2^60 chunks.
func TestStateFitsTheFile(t *testing.T) {
	good := state{chunks: 3, streams: 2, slices: 40, bytes: 9000}
	if s, err := parseState(good.encode(), 1<<20); err != nil || s != good {
		t.Fatalf("got %+v, %v", s, err)
	}
	for i := range 32 {
		b := good.encode()
		b[i] ^= 0x80
		if _, err := parseState(b, 9500); i%8 < 6 && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: got %v, want ErrCorrupt", i, err)
		}
	}
}
