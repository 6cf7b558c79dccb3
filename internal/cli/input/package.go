package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/folder"
)

// Zip is an open zip; Close also removes it if it is a temporary one.
type Zip struct {
	*os.File
	temporary bool
}

// Close closes the zip.
func (z Zip) Close() error {
	err := z.File.Close()
	if z.temporary {
		err = errors.Join(err, os.Remove(z.Name()))
	}
	return err
}

const pathHint = "PATH is a package folder or a zip"

// LookAt refuses a path that leads to no package, whatever is in it.
func LookAt(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, notThere(path, "there is no such file or folder", pathHint, err)
	}
	if !strings.EqualFold(filepath.Ext(path), ".zip") {
		if err := errors.Join(insidePackage(path, info), packagesBelow(path)); err != nil {
			return nil, err
		}
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, usage.WrongAt(path, "it is neither a file nor a folder", pathHint, nil)
	}
	return info, nil
}

// OpenPackage opens the package at path as a zip, and returns the name of its object. It packs a folder, without what
// the command writes there.
func OpenPackage(path string, written ...string) (Zip, string, error) {
	info, err := LookAt(path)
	if err != nil {
		return Zip{}, "", err
	}
	if info.IsDir() {
		return packFolder(path, written)
	}
	f, err := os.Open(path)
	if err != nil {
		return Zip{}, "", fmt.Errorf("open package: %w", err)
	}
	name := filepath.Base(path)
	if !strings.EqualFold(filepath.Ext(name), ".zip") {
		if begin := make([]byte, 2); !beginsLikeZip(f, begin) {
			err := usage.WrongAt(path, "it is neither a folder nor a zip", pathHint, nil)
			return Zip{}, "", errors.Join(err, f.Close())
		}
		name += ".zip"
	}
	return Zip{File: f}, name, nil
}

// beginsLikeZip reports whether a file whose name does not say so is a zip.
func beginsLikeZip(f io.ReaderAt, begin []byte) bool {
	n, _ := f.ReadAt(begin, 0)
	return string(begin[:n]) == "PK"
}

// packFolder packs a folder into a temporary zip.
func packFolder(path string, written []string) (Zip, string, error) {
	f, err := os.CreateTemp("", "cemli-*.zip")
	if err != nil {
		return Zip{}, "", fmt.Errorf("make a zip: %w", err)
	}
	zip := Zip{File: f, temporary: true}
	files, err := folder.Open(path, append(written, f.Name())...)
	if err == nil {
		defer files.Close()
		_, err = bundle.Create(f, files)
	}
	if err != nil {
		return Zip{}, "", errors.Join(err, zip.Close())
	}
	return zip, objectName(files, path), nil
}

// objectName is NAME-VERSION.zip by the manifest, or the folder's own name where the
// manifest does not tell: what is wrong with it is the executor's to say.
func objectName(files fs.FS, path string) string {
	if m, err := ReadManifest(files); err == nil {
		return m.Name + "-" + m.Version + ".zip"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "package.zip"
	}
	return filepath.Base(abs) + ".zip"
}

// OpenFolder opens a package folder, without what the command writes.
func OpenFolder(dir string, written ...string) (*folder.Folder, error) {
	const hint = "DIR is a package folder"
	info, err := os.Stat(dir)
	if err != nil {
		return nil, notThere(dir, "there is no such folder", hint, err)
	}
	if err := errors.Join(insidePackage(dir, info), packagesBelow(dir)); err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, usage.WrongAt(dir, "it is a file, and no folder", hint, nil)
	}
	return folder.Open(dir, written...)
}

// ScratchRoot makes a folder to look at a package's files in, and the function that removes it.
func ScratchRoot() (root *os.Root, remove func(), err error) {
	scratch, err := os.MkdirTemp("", "cemli-look-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	root, err = os.OpenRoot(scratch)
	if err != nil {
		_ = os.RemoveAll(scratch)
		return nil, nil, fmt.Errorf("open the scratch folder: %w", err)
	}
	return root, func() {
		_ = root.Close()
		_ = os.RemoveAll(scratch)
	}, nil
}
