//go:build !officialc || !cgo

package peers

// OfficialC is nil: this build does not link the authors' C library. See the package comment of the module's root.
var OfficialC func([]byte) [32]byte
