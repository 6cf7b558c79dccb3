package workdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// openFolder opens a folder, but no link.
const openFolder = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// withoutWaiting opens a pipe without waiting for its other end.
const withoutWaiting = unix.O_NONBLOCK

// removeFolder removes a folder with everything in it, whatever scripts have made of it: without access rights,
// deeper than a path can be long, or with more levels than there are descriptors.
func removeFolder(path string) error {
	if err := os.Chmod(path, 0o700); errors.Is(err, os.ErrNotExist) { // #nosec G302 -- a folder
		return nil
	}
	if err := removeContents(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// removeContents removes everything in a folder. It moves inner folders to the top one after the other, so that it
// needs only two open folders, and no paths.
func removeContents(path string) error {
	top, err := unix.Open(path, openFolder, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(top)
	waiting, err := namesIn(top)
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	var problems []error
	for moved := 0; len(waiting) > 0; {
		name := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		more, err := emptied(top, name, &moved)
		waiting = append(waiting, more...)
		if err == nil {
			err = removed(top, name)
		}
		if err != nil && len(problems) < 10 {
			problems = append(problems, fmt.Errorf("remove %s: %w", filepath.Join(path, name), err))
		}
	}
	return errors.Join(problems...)
}

// emptied removes the files of a folder in top, and moves its folders to top. It returns their new names. It does
// nothing to what is not a folder.
func emptied(top int, name string, moved *int) (more []string, err error) {
	if !isFolder(top, name) {
		return nil, nil
	}
	if err := unix.Fchmodat(top, name, 0o700, 0); err != nil {
		return nil, err
	}
	dir, err := unix.Openat(top, name, openFolder, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	names, err := namesIn(dir)
	if err != nil {
		return nil, err
	}
	for _, inner := range names {
		if !isFolder(dir, inner) {
			if err := unix.Unlinkat(dir, inner, 0); err != nil {
				return more, err
			}
			continue
		}
		// Moving a folder writes to the folder itself, for its parent changes.
		if err := unix.Fchmodat(dir, inner, 0o700, 0); err != nil {
			return more, err
		}
		*moved++
		to := "removed-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(*moved)
		if err := unix.Renameat(dir, inner, top, to); err != nil {
			return more, err
		}
		more = append(more, to)
	}
	return more, nil
}

func removed(top int, name string) error {
	flags := 0
	if isFolder(top, name) {
		flags = unix.AT_REMOVEDIR
	}
	return unix.Unlinkat(top, name, flags)
}

func isFolder(dir int, name string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// namesIn lists a folder through a new descriptor.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "folder") // a descriptor
	defer f.Close()
	return f.Readdirnames(-1)
}

// Clear removes a file, or a folder with everything in it, whatever scripts have made of it. It follows no link.
func Clear(path string) error {
	if !isFolder(unix.AT_FDCWD, path) {
		return os.Remove(path)
	}
	return removeFolder(path)
}
