//go:build !linux

package executor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"cemli-executor/internal/bundle"
)

// Packages run on Linux only; the sandbox says so.

func freeSpace(string) (bundle.Footprint, bool, error) { return bundle.Footprint{}, false, nil }

func ownedByUs(fs.FileInfo) bool { return true }

// newLogFile makes a file for a log that has no name.
func newLogFile(string) (*os.File, error) {
	f, err := os.CreateTemp("", "cemli-log-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

const withoutWaiting = 0

func removeFolder(path string) error { return os.RemoveAll(path) }

func removeContents(path string) error {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(path, entry.Name())))
	}
	return err
}

// look lists nothing: no step is run here.
func (d *rundir) look(int) (contents, bool) { return nil, true }
