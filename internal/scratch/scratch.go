// Package scratch makes temporary folders that no crash leaves behind for good: whoever makes one
// first removes those of the same kind whose makers have ended without doing so. A lock beside the
// folder, which ends with its process, tells which these are.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// young is how old a folder is at least that is taken for left behind: a new one may have no lock yet.
const young = time.Minute

// Dir makes a folder that this process alone uses, its name beginning with kind. Remove removes it.
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

// clean removes what processes that have ended left behind. What cannot be removed, as it is another
// user's, stays.
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
