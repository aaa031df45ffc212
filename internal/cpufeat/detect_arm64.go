//go:build arm64 && !purego

package cpufeat

// Advanced SIMD is part of the base that Go's arm64 port demands: nothing to
// detect, and nothing that could be missing.
func available() (have [numPaths]bool) {
	have[Generic], have[NEON] = true, true
	return have
}

// Requires names the features without which path p is not available.
func Requires(p Path) []string {
	if p == NEON {
		return []string{"ASIMD"}
	}
	return nil
}

// Features names what this CPU and system offer, as far as paths depend on it.
func Features() []string { return []string{"ASIMD"} }

// Brand is the CPU's own name for itself, or "".
func Brand() string { return "" }
