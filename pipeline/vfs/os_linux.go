package vfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func preallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		if err != unix.EINTR {
			return err
		}
	}
}

func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}

var fsNames = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.RAMFS_MAGIC: "ramfs", unix.HUGETLBFS_MAGIC: "hugetlbfs",
}

func statFS(name string) (Info, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(name, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Info{}, &os.PathError{Op: "statfs", Path: name, Err: err}
		}
		break
	}
	magic := int64(st.Type) & 0xffffffff // 32 bits: a signed field on some architectures
	typ, ok := fsNames[magic]
	if !ok {
		typ = fmt.Sprintf("%#x", magic)
	}
	size := uint64(st.Bsize)
	return Info{Type: typ, Tmpfs: magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC, Free: st.Bavail * size, Total: st.Blocks * size}, nil
}
