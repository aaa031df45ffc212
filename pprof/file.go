package pprof

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// file is a bounded file that appears under its name only when it is complete. Write may be called by one goroutine
// at a time; the runtime's profilers each use one.
type file struct {
	path string
	left int64
	size int64
	over bool
	mu   sync.Mutex // Write by a profiler's goroutine against commit
	sum  hash.Hash
	f    *os.File
}

func create(path string, max int64) (*file, error) {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, fmt.Errorf("accounting/pprof: %w", err)
	}
	return &file{path: path, left: max, f: f, sum: sha256.New()}, nil
}

// Write keeps what fits the bound. It reports success for the rest as well, because the tracer retries nothing and
// would hold its buffers; commit says that the file was cut.
func (f *file) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keep := b
	if int64(len(b)) > f.left {
		f.over, keep = true, b[:f.left]
	}
	n, err := f.f.Write(keep)
	f.left, f.size = f.left-int64(n), f.size+int64(n)
	f.sum.Write(keep[:n])
	if err != nil {
		return n, err
	}
	return len(b), nil
}

// commit renames the file to its name. A truncated one is kept and is ErrLimit.
func (f *file) commit() (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info := File{Name: filepath.Base(f.path), Bytes: f.size, SHA256: hex.EncodeToString(f.sum.Sum(nil)), Truncated: f.over}
	err := f.f.Close()
	if err == nil {
		err = os.Rename(f.path+".tmp", f.path)
	}
	if err == nil && f.over {
		err = fmt.Errorf("%w: %s: %d bytes kept, more were to come", ErrLimit, info.Name, f.size)
	}
	return info, err
}

func (f *file) discard() { _ = f.f.Close(); _ = os.Remove(f.path + ".tmp") }

// ManifestName is the file that describes a capture directory.
const ManifestName = "capture.json"

// ManifestSchema is the version that Manifest is written with.
const ManifestSchema = 1

// File is one file of a capture.
type File struct {
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	Truncated bool   `json:"truncated,omitempty"`
}

// Manifest is the content of capture.json.
type Manifest struct {
	Schema   int               `json:"schema"`
	Started  time.Time         `json:"started"`
	Seconds  float64           `json:"seconds"`
	Go       string            `json:"go"`
	OS       string            `json:"os"`
	Arch     string            `json:"arch"`
	Cores    int               `json:"cores"`
	Revision string            `json:"revision,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Files    []File            `json:"files"`
}

func newManifest(start time.Time, d time.Duration, labels map[string]string) Manifest {
	m := Manifest{Schema: ManifestSchema, Started: start.UTC(), Seconds: d.Seconds(), Go: runtime.Version(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Labels: labels, Files: []File{}}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" {
				m.Revision = s.Value
			}
		}
	}
	return m
}

func (m *Manifest) write(dir string) error {
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, ManifestName)
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("accounting/pprof: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// ReadManifest reads dir/capture.json. A missing file is fs.ErrNotExist, another schema ErrProfile.
func ReadManifest(dir string) (Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return Manifest{}, fmt.Errorf("accounting/pprof: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, errors.Join(fmt.Errorf("%w: %s", ErrProfile, ManifestName), err)
	}
	if m.Schema != ManifestSchema {
		return Manifest{}, fmt.Errorf("%w: %s has schema %d, want %d", ErrProfile, ManifestName, m.Schema, ManifestSchema)
	}
	return m, nil
}
