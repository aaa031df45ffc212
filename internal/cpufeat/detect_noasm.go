//go:build (!amd64 && !arm64) || purego

package cpufeat

// Only the generic path exists: no kernel is written for this architecture, or
// the build asked for pure Go.
func available() (have [numPaths]bool) {
	have[Generic] = true
	return have
}

// Requires names the features without which path p is not available.
func Requires(Path) []string { return nil }

// Features names what this CPU and system offer, as far as paths depend on it.
func Features() []string { return nil }

// Brand is the CPU's own name for itself, or "".
func Brand() string { return "" }
