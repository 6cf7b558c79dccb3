package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/folder"
	"cemli-executor/internal/problem"
)

// zipFile is an open zip; Close also removes one that was made for the occasion.
type zipFile struct {
	*os.File
	temporary bool
}

func (z zipFile) Close() error {
	err := z.File.Close()
	if z.temporary {
		err = errors.Join(err, os.Remove(z.Name()))
	}
	return err
}

const pathHint = "PATH is a package folder or a zip"

// lookAt refuses a path that leads to no package, whatever is in it.
func lookAt(path string) (fs.FileInfo, error) {
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
		return nil, problem.New(problem.Problem{Code: "usage", Where: path, Message: "it is neither a file nor a folder", Hint: pathHint}, nil)
	}
	return info, nil
}

// openPackage opens the package at path as a zip, packing it if it is a folder, without
// what the command writes there, and gives the name of its object.
func openPackage(path string, written ...string) (zipFile, string, error) {
	info, err := lookAt(path)
	if err != nil {
		return zipFile{}, "", err
	}
	if info.IsDir() {
		return packFolder(path, written)
	}
	f, err := os.Open(path)
	if err != nil {
		return zipFile{}, "", fmt.Errorf("open package: %w", err)
	}
	name := filepath.Base(path)
	if !strings.EqualFold(filepath.Ext(name), ".zip") {
		if begin := make([]byte, 2); !beginsLikeZip(f, begin) {
			return zipFile{}, "", errors.Join(problem.New(problem.Problem{Code: "usage", Where: path, Message: "it is neither a folder nor a zip", Hint: pathHint}, nil), f.Close())
		}
		name += ".zip"
	}
	return zipFile{File: f}, name, nil
}

// beginsLikeZip reports whether a file whose name does not say so is a zip.
func beginsLikeZip(f io.ReaderAt, begin []byte) bool {
	n, _ := f.ReadAt(begin, 0)
	return string(begin[:n]) == "PK"
}

// packFolder packs a folder into a temporary zip.
func packFolder(path string, written []string) (zipFile, string, error) {
	f, err := os.CreateTemp("", "cemli-*.zip")
	if err != nil {
		return zipFile{}, "", fmt.Errorf("make a zip: %w", err)
	}
	zip := zipFile{File: f, temporary: true}
	files, err := folder.Open(path, append(written, f.Name())...)
	if err == nil {
		defer files.Close()
		_, err = bundle.Create(f, files)
	}
	if err != nil {
		return zipFile{}, "", errors.Join(err, zip.Close())
	}
	return zip, objectName(files, path), nil
}

// objectName is NAME-VERSION.zip by the manifest, or the folder's own name where the
// manifest does not tell: what is wrong with it is the executor's to say.
func objectName(files fs.FS, path string) string {
	if m, err := readManifest(files); err == nil {
		return m.Name + "-" + m.Version + ".zip"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "package.zip"
	}
	return filepath.Base(abs) + ".zip"
}

// scratchRoot makes a folder to look at a package's files in, and the function that removes it.
func scratchRoot() (root *os.Root, remove func(), err error) {
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
