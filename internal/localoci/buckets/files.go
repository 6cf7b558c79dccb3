package buckets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"
)

// files stores the bytes of objects and parts, a file each. Files have random names and are never changed.
type files struct {
	dir  string
	full func() bool // a fault: the disk is full
}

func (f files) path(blob string) string { return filepath.Join(f.dir, blob) }

// sweep removes files that no record names.
func (f files) sweep(named map[string]bool) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !named[entry.Name()] {
			if err := os.Remove(f.path(entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Write stores a body as a file that no object names yet.
func (f files) Write(body io.Reader) (blob string, size int64, err error) {
	if f.full() {
		return "", 0, syscall.ENOSPC
	}
	blob = uuid.NewString()
	file, err := os.OpenFile(f.path(blob), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, err
	}
	size, err = io.Copy(file, body)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		f.Discard(blob)
		return "", 0, err
	}
	return blob, size, nil
}

// duplicate gives the file of an object another name.
func (f files) duplicate(o Object) (Object, error) {
	if f.full() {
		return o, syscall.ENOSPC
	}
	blob := uuid.NewString()
	err := os.Link(f.path(o.Blob), f.path(blob))
	o.Blob = blob
	return o, err
}

// Discard removes a file that no object names.
func (f files) Discard(blob string) {
	if blob != "" {
		_ = os.Remove(f.path(blob)) // otherwise the next start removes it
	}
}
