//go:build race

package pipeline

// scribble overwrites memory that was let go of: whoever still reads it is told by the race detector, or by a digest that does not fit.
func scribble(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
