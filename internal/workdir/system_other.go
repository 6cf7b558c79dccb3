//go:build !linux

package workdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Packages run on Linux only; the sandbox says so.

func freeSpace(string) (Space, bool, error) { return Space{}, false, nil }

func ownedByUs(fs.FileInfo) bool { return true }

// newLogFile creates a file without a name for a log.
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

// look lists nothing: no step runs on this platform.
func (d *Dir) look(int) (files, bool) { return nil, true }
