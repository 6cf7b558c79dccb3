package executor

import (
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/bundle"
)

// freeSpace measures what an unprivileged process may still write below dir; ok is
// false where the system does not tell.
func freeSpace(dir string) (free bundle.Footprint, ok bool, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return free, false, err
	}
	free = bundle.Footprint{Bytes: int64(s.Bavail) * s.Bsize, Inodes: int64(min(s.Ffree, math.MaxInt64))} // #nosec G115 -- bounded
	if s.Files == 0 {
		free.Inodes = math.MaxInt64 // the file system makes them as needed
	}
	return free, true, nil
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// newLogFile makes a file in memory for a log: it has no path that a script could find,
// and needs nothing of a file system that scripts can fill.
func newLogFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
