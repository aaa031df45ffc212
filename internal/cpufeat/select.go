package cpufeat

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The names of the environment variables.
const (
	EnvCPU     = "RON_ACC_CPU"
	EnvRequire = "RON_ACC_REQUIRE"
)

// choice is the outcome of the selection. It is written once, while packages
// are initialized, and only read afterwards, so readers need no lock.
type choice struct {
	path Path
	why  string
	err  error
}

var selected = choose(os.Getenv, available())

// Selected returns the path that kernels take in this process.
func Selected() Path { return selected.path }

// Why says in one sentence why that path was selected.
func Why() string { return selected.why }

// Err returns what was wrong with RON_ACC_CPU or RON_ACC_REQUIRE, or nil.
// Kernels work whether or not the caller heeds it.
func Err() error { return selected.err }

// Available reports whether kernels of path p can run in this process.
func Available(p Path) bool {
	return p < numPaths && available()[p]
}

// choose is the whole rule, free of global state so that tests can drive it.
func choose(getenv func(string) string, have [numPaths]bool) choice {
	var c choice
	var names []string
	for p := Path(0); p < numPaths; p++ {
		if have[p] {
			c.path = p // the last one is the widest
			names = append(names, p.String())
		}
	}
	c.why = "the widest path this CPU, system and build offer (" + strings.Join(names, ", ") + ")"
	if v := getenv(EnvCPU); v != "" {
		p, err := ParsePath(v)
		switch {
		case err != nil:
			c.err = fmt.Errorf("%s: %w", EnvCPU, err)
		case !have[p]:
			c.err = fmt.Errorf("accounting/cpufeat: %s=%s is not available here: have %s", EnvCPU, p, strings.Join(names, ", "))
		default:
			c.path, c.why = p, EnvCPU+"="+p.String()
		}
	}
	if v := getenv(EnvRequire); v != "" {
		p, err := ParsePath(v)
		switch {
		case err != nil:
			c.err = errors.Join(c.err, fmt.Errorf("%s: %w", EnvRequire, err))
		case p != c.path:
			c.err = errors.Join(c.err, fmt.Errorf("accounting/cpufeat: %s=%s but the selected path is %s: %s", EnvRequire, p, c.path, c.why))
		}
	}
	return c
}
