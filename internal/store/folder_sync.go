package store

import (
	"errors"
	"io/fs"
	"path"
	"time"
)

// staging is how long writing a file may take; an older one was left by a crash.
const staging = 24 * time.Hour

// clean removes files that were never put into place, as far as possible.
func (f *Folder) clean() {
	entries, _ := fs.ReadDir(f.root.FS(), private+"/tmp")
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > staging {
			_ = f.root.Remove(private + "/tmp/" + entry.Name())
		}
	}
}

// syncFolder makes the names in a folder durable.
func (f *Folder) syncFolder(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncUp makes an object's name durable, with those of the folders above it.
func (f *Folder) syncUp(name string) error {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if err := f.sync(dir); err != nil || dir == "." {
			return err
		}
	}
}
