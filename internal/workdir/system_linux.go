package workdir

import (
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func freeSpace(dir string) (free Space, ok bool, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return free, false, err
	}
	free = Space{Bytes: int64(s.Bavail) * s.Bsize, Inodes: int64(min(s.Ffree, math.MaxInt64))} // #nosec G115 -- bounded
	if s.Files == 0 {
		free.Inodes = math.MaxInt64 // the file system has no fixed number
	}
	return free, true, nil
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func newLogFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
