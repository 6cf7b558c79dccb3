package input

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// notThere says what a path that leads nowhere was most likely meant to be.
func notThere(path, message, hint string, cause error) error {
	if entries, err := os.ReadDir(filepath.Dir(path)); err == nil {
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if near := problem.Nearest(filepath.Base(path), names); near != "" {
			return usage.WrongAt(path, message, "did you mean "+filepath.Join(filepath.Dir(path), near)+"?", nil)
		}
	}
	return usage.WrongAt(path, message, hint, cause)
}

// insidePackage refuses a path that leads to a part of a package: people name its manifest or a script.
func insidePackage(path string, info fs.FileInfo) error {
	kind := "file"
	if info.IsDir() {
		if kind = "folder"; hasManifest(path) {
			return nil
		}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil //nolint:nilerr // then nothing is known of what is around it
	}
	for dir := filepath.Dir(abs); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if isPackage(dir) {
			message := fmt.Sprintf("it is a %s of the package %s", kind, filepath.Base(dir))
			return usage.WrongAt(path, message, "name that folder", nil)
		}
	}
	return nil
}

// isPackage reports whether a folder has a manifest that is one: other programs have files of that name, too.
func isPackage(dir string) bool {
	if !hasManifest(dir) {
		return false
	}
	f, err := os.Open(filepath.Join(dir, manifest.Name))
	if err != nil {
		return false
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes))
	if err != nil {
		return false
	}
	_, err = manifest.Parse(doc)
	return err == nil
}

func hasManifest(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, manifest.Name))
	return err == nil && info.Mode().IsRegular()
}

// packagesBelow says which folders of a folder are packages; nil if the folder is one, or none is there.
func packagesBelow(dir string) error {
	if hasManifest(dir) {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", manifest.Name))
	if err != nil || len(found) < 2 { // the executor reports a single one
		return nil //nolint:nilerr // a folder whose name is a pattern
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return usage.WrongAt(dir, fmt.Sprintf("it is no package; there are %d in it", len(found)),
		"name one of these: "+strings.Join(found[:min(len(found), 10)], ", "), nil)
}
