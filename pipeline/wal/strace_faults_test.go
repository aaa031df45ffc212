//go:build linux && amd64 && !race && !purego

package wal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const childFaults = "RON_ACC_TEST_WAL_FAULTS_DIR"

// TestCallsFailInTheKernel lets each system call of a log's life fail in the kernel for a while, by strace, with each error that a disk or a process'
// limits give. The owner tries again until it is accepted, as the pipeline does; then all of it is there, once, without damage.
func TestCallsFailInTheKernel(t *testing.T) {
	if dir := os.Getenv(childFaults); dir != "" {
		persistent(dir)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: faults are injected by the other tests only")
	}
	if out, err := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "inject=getpid:error=EIO:when=1..2", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here, or knows no ranges: %v: %s", err, out)
	}
	for _, c := range []struct{ calls, errnos string }{
		{"openat", "ENOSPC EIO EROFS EMFILE"},
		{"fallocate", "ENOSPC EIO EROFS"},
		{"pwrite64,pwritev,pwritev2", "ENOSPC EIO EROFS"},
		{"fdatasync,fsync", "ENOSPC EIO EROFS"},
		{"rename,renameat,renameat2", "ENOSPC EIO EROFS"},
		{"unlink,unlinkat", "EIO EROFS"},
		{"ftruncate", "ENOSPC EIO EROFS"},
	} {
		for _, errno := range strings.Fields(c.errnos) {
			for _, when := range []string{"8..20", "15..60"} {
				dir := filepath.Join(t.TempDir(), "wal")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace="+c.calls, "-e", "inject="+c.calls+":error="+errno+":when="+when,
					os.Args[0], "-test.run=^TestCallsFailInTheKernel$")
				cmd.Env = append(os.Environ(), childFaults+"="+dir)
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "40 accepted") {
					t.Errorf("%s %s %s: %v %s", c.calls, errno, when, err, out)
					continue
				}
				if _, err := Verify(Options{Dir: dir}); err != nil {
					t.Errorf("%s %s %s: %v", c.calls, errno, when, err)
				}
				l, rec := mustOpen(t, Options{Dir: dir, SegmentBytes: 16 << 10})
				if len(rec.Pending) != 20 || len(rec.Damage)+len(rec.Holes) > 0 || rec.Epoch != 40 {
					t.Errorf("%s %s %s: recovered %d of epoch %d, damage %v, holes %v; want 20 of 40", c.calls, errno, when, len(rec.Pending), rec.Epoch, rec.Damage, rec.Holes)
				}
				checkBodies(t, l, rec)
				mustClose(t, l)
			}
		}
	}
}

// persistent is the traced process: forty commits, each tried until it is accepted, the first twenty acked, with upkeep between.
func persistent(dir string) {
	runtime.LockOSThread() // strace counts calls by thread
	var l *Log
	err := errors.New("not open")
	for try := 0; err != nil && try < 200; try++ {
		l, _, err = Open(Options{Dir: dir, SegmentBytes: 16 << 10, MaxBytes: 1 << 20}, testIdentity)
	}
	var s Stream
	for e := uint64(1); e <= 40 && err == nil; e++ {
		c := commitN(l, e, 1000, 0)
		for try := 0; try < 200; try++ {
			if err = l.Append(c); err == nil {
				break
			}
			_ = l.Maintain()
		}
		s = c.Entries[0].Stream
		if s.Writer == ([16]byte{}) {
			s.Writer = l.Writer()
		}
		if e == 20 && err == nil {
			l.Ack(s, 19)
		}
	}
	for try := 0; err == nil && try < 200; try++ {
		if l.Maintain() == nil && l.Stats().Err == nil {
			break
		}
	}
	if err != nil {
		fmt.Println("gave up:", err)
		os.Exit(0)
	}
	fmt.Println("40 accepted")
	_ = l.Close() // its acks may meet the fault: the next Open is told no less
	os.Exit(0)
}
