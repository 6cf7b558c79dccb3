// Package scratch makes temporary folders that do not stay after a crash: making one first removes those of the same
// kind whose processes have ended without removing them. A lock beside each folder, which ends with its process,
// tells which these are.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// young is the age up to which a folder is never regarded as left behind: a new one may have no lock yet.
const young = time.Minute

// Dir makes a folder for this process alone, with a name that begins with kind. Remove removes it.
func Dir(kind string) (dir string, remove func() error, err error) {
	clean(kind)
	dir, err = os.MkdirTemp("", kind)
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	lock := flock.New(dir + ".lock")
	remove = func() error {
		return errors.Join(os.RemoveAll(dir), os.Remove(lock.Path()), lock.Close())
	}
	if _, err := lock.TryLock(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a temporary folder: %w", err), remove())
	}
	return dir, remove, nil
}

// clean removes what ended processes left behind. What belongs to another user and cannot be removed stays.
func clean(kind string) {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), kind+"*.lock")) // the pattern is well-formed
	for _, path := range locks {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < young {
			continue
		}
		lock := flock.New(path)
		if mine, err := lock.TryLock(); err == nil && mine {
			_ = os.RemoveAll(path[:len(path)-len(".lock")])
			_ = os.Remove(path)
		}
		_ = lock.Close()
	}
}
