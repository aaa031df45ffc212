package pipeline

import (
	"fmt"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Dimension is what is counted. Bytes, Requests and CPU are built in; Options.Dimensions names those from 3 on.
type Dimension uint8

const (
	Bytes    Dimension = iota // octets
	Requests                  // calls
	CPU                       // microseconds

	builtinDimensions = 3
	maxDimensions     = 256
)

// Key names one counter: who used what on which object. Its layout is that of shardmap.WideKey (key_unsafe.go).
type Key struct {
	Tenant, Subject canon.ID
	Namespace       uint32
	Dimension       Dimension
}

// String is a short form for logs and errors.
func (k Key) String() string {
	return fmt.Sprintf("%.8s/%d/%.8s/%d", k.Tenant, k.Namespace, k.Subject, k.Dimension)
}

// dimensionNames returns the names by number: the built-in three, then extra.
func dimensionNames(extra []string) []string {
	return append([]string{"bytes", "requests", "cpu"}, extra...)
}

// validName reports whether s is a wire name: [a-z][a-z0-9_]{0,62}.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
