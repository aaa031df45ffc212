//go:build amd64 && !purego

package cpufeat

import "github.com/klauspost/cpuid/v2"

// required lists, for each path, every feature that its kernels use. A test of
// internal/asm compares it with the `// Requires:` lines of the generated code.
// cpuid reports AVX features only where the system saves their registers.
var required = [numPaths][]cpuid.FeatureID{
	SSE41:  {cpuid.SSE4},
	AVX2:   {cpuid.AVX, cpuid.AVX2},
	AVX512: {cpuid.AVX, cpuid.AVX2, cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX512BW, cpuid.AVX512DQ},
}

// vbmi2 lists what some kernels of the AVX512 path use beside its own features; others stand in where it is not there.
var vbmi2 = []cpuid.FeatureID{cpuid.AVX512VBMI, cpuid.AVX512VBMI2, cpuid.AVX512CD, cpuid.POPCNT}

// VBMI2 reports whether kernels of the AVX512 path can run that move and compress single bytes, and names all features that those need.
func VBMI2() (have bool, requires []string) {
	for _, f := range vbmi2 {
		requires = append(requires, f.String())
	}
	return Available(AVX512) && cpuid.CPU.Supports(vbmi2...), append(requires, Requires(AVX512)...)
}

func available() (have [numPaths]bool) {
	have[Generic] = true
	for p, fs := range required {
		if len(fs) > 0 {
			have[p] = cpuid.CPU.Supports(fs...)
		}
	}
	return have
}

// Requires names the features without which path p is not available.
func Requires(p Path) []string {
	var names []string
	if p < numPaths {
		for _, f := range required[p] {
			names = append(names, f.String())
		}
	}
	return names
}

// Features names what this CPU and system offer.
func Features() []string { return cpuid.CPU.FeatureSet() }

// Brand is the CPU's own name for itself, or "".
func Brand() string { return cpuid.CPU.BrandName }
