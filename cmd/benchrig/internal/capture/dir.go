package capture

import (
	"path/filepath"
	"runtime/debug"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/gate"
)

// Version names the build: the module's version, else its commit, else "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel"
}

// Archive is the directory of a version's captures on this machine, below the repository's top; host "" is the host's name.
func Archive(version, host string) string {
	return filepath.Join("pprof", "archive", version, gate.HostDir(gate.ThisHost(host)))
}
