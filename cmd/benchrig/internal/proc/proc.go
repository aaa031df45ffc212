// Package proc reads what the process costs: CPU time, resident memory, and the host that it runs on.
// Where the system has no /proc, memory reads as zero.
package proc

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CPU returns the process's user and system time so far.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Memory is resident memory in bytes.
type Memory struct {
	RSS  uint64 // all of it, file pages included
	Anon uint64 // heap, stacks
	Shm  uint64 // tmpfs and shared mappings: the counter file
	Peak uint64 // the most RSS there was
}

// Charged is what the process itself makes resident: anonymous and shared. File pages are the kernel's cache of the
// executable and of the ledger's mapping, given back under pressure.
func (m Memory) Charged() uint64 { return m.Anon + m.Shm }

// ReadMemory reads /proc/self/status.
func ReadMemory() Memory {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return Memory{}
	}
	field := func(name string) uint64 {
		_, rest, ok := bytes.Cut(b, []byte("\n"+name+":"))
		if !ok {
			return 0
		}
		words := strings.Fields(string(rest[:bytes.IndexByte(rest, '\n')]))
		kib, _ := strconv.ParseUint(words[0], 10, 64)
		return kib << 10
	}
	return Memory{RSS: field("VmRSS"), Anon: field("RssAnon"), Shm: field("RssShmem"), Peak: field("VmHWM")}
}

// ResetPeak makes Peak start anew from what is resident now, where the kernel allows it.
func ResetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// MiB is n bytes in MiB.
func MiB(n uint64) float64 { return float64(n) / (1 << 20) }

// Host names the machine and the build.
type Host struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
	Path   string `json:"path"`   // the selected CPU path
	Commit string `json:"commit"` // of the build, "unknown" where it was not stamped
}

// ThisHost describes where we run; path is the selected CPU path.
func ThisHost(path string) Host {
	return Host{
		CPU: cpuModel(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), Path: path, Commit: commit(),
	}
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if name, value, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return rev + dirty
}
