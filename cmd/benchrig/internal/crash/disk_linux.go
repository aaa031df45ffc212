package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is an ext4 of its own, in a file that is mounted by a loop device, whose power can be cut.
type disk struct{ image, mount string }

const (
	diskBytes = 256 << 20
	// fsIocShutdown stops a file system at once: what is not on its device is lost. The argument says that its journal is not written out either.
	fsIocShutdown = 0x8004587d
	noLogFlush    = 2
)

// newDisk makes and mounts one; the error says what the machine lacks.
func newDisk(dir string) (*disk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("mounting a file system needs root")
	}
	d := &disk{filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(diskBytes), f.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.mount, 0o700); err != nil {
		return nil, err
	}
	if err := d.on(); err != nil {
		return nil, err
	}
	if err := d.cut(); err != nil { // a kernel that can't is seen at once
		return nil, errors.Join(err, command("umount", d.mount))
	}
	return d, d.restart()
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (d *disk) on() error { return command("mount", "-o", "loop", d.image, d.mount) }

// cut takes the power away.
func (d *disk) cut() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	how := uint32(noLogFlush)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsIocShutdown, uintptr(unsafe.Pointer(&how))); e != 0 {
		return fmt.Errorf("FS_IOC_SHUTDOWN: %w", e)
	}
	return nil
}

// freeze stops a process as a power cut does: none of its instructions is executed any more. A thread that is in a system call may go on there, but not
// return from it: an fdatasync that runs into a shutdown may succeed though its bytes are lost (seen on Linux 6.18), which nobody can act on
// when the power has gone.
func freeze(pid int) error {
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for range 200 {
		running := false
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if i := strings.LastIndexByte(string(b), ')'); err == nil && i >= 0 && len(b) > i+2 && strings.IndexByte("RS", b[i+2]) >= 0 {
				running = true
			}
		}
		if !running {
			return nil
		}
		time.Sleep(50 * time.Microsecond)
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// restart mounts it again; its journal is replayed.
func (d *disk) restart() error {
	if err := command("umount", d.mount); err != nil {
		return err
	}
	return d.on()
}

func (d *disk) remove() error { return command("umount", d.mount) }
