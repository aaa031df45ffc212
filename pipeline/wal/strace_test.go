//go:build linux

package wal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const childDir = "RON_ACC_TEST_WAL_DIR"

// TestFsyncFailsInTheKernel lets the kernel's fdatasync return EIO, by strace, to a process that writes a log: once, after which the commit is in
// another segment, and for ever, after which Append says that it does not know.
func TestFsyncFailsInTheKernel(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		straced(dir)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: fsync errors are injected by the other tests only")
	}
	if out, err := exec.Command(strace, "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
	for _, k := range []struct {
		when, want string
		least      int // slices that are found afterwards
		most       int
	}{
		{"3", "10 accepted, 1 failed syncs, error <nil>", 10, 10},
		{"3+", "2 accepted, 2 failed syncs, error unknown", 2, 3},
	} {
		dir := filepath.Join(t.TempDir(), "wal")
		cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when="+k.when,
			os.Args[0], "-test.run=^TestFsyncFailsInTheKernel$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), k.want) {
			t.Errorf("when=%s: got %s (%v), want %s", k.when, out, err, k.want)
			continue
		}
		l, rec := mustOpen(t, Options{Dir: dir})
		if n := len(rec.Pending); n < k.least || n > k.most || len(rec.Damage)+len(rec.Holes) > 0 {
			t.Errorf("when=%s: recovered %d, damage %v, holes %v; want %d to %d", k.when, n, rec.Damage, rec.Holes, k.least, k.most)
		}
		checkBodies(t, l, rec)
		mustClose(t, l)
	}
}

// straced is the traced process: ten commits, and what became of them.
func straced(dir string) {
	runtime.LockOSThread() // strace counts calls by thread
	l, _, err := Open(Options{Dir: dir, SegmentBytes: 64 << 10}, testIdentity)
	accepted := 0
	for e := uint64(1); e <= 10 && err == nil; e++ {
		if err = l.Append(commitN(l, e, 1000, 0)); err == nil {
			accepted++
		}
	}
	told := fmt.Sprint(err)
	if errors.Is(err, ErrOutcomeUnknown) && errors.Is(err, syscall.EIO) {
		told = "unknown"
	}
	fmt.Printf("%d accepted, %d failed syncs, error %s\n", accepted, l.Stats().SyncFailures, told)
	os.Exit(0) // as if killed
}
