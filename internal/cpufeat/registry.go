package cpufeat

import "sync"

// Variant is one implementation of a package's kernels.
type Variant struct {
	Package   string // last element of the import path, for instance "asm"
	Name      string // for instance "avx512"
	Path      Path   // what it needs
	Available bool   // whether it can run in this process
}

var registry struct {
	sync.Mutex
	all []Variant
}

// Register records a variant, from an init function of the package that has
// it, so that tests and `benchrig cpu` can list what a build contains.
func Register(pkg, name string, p Path) {
	registry.Lock()
	defer registry.Unlock()
	registry.all = append(registry.all, Variant{pkg, name, p, Available(p)})
}

// Variants returns what was registered by pkg, or by all packages if pkg is
// empty, in order of registration. The slice is the caller's.
func Variants(pkg string) []Variant {
	registry.Lock()
	defer registry.Unlock()
	var vs []Variant
	for _, v := range registry.all {
		if pkg == "" || v.Package == pkg {
			vs = append(vs, v)
		}
	}
	return vs
}
