package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cemli-executor/internal/leaks"
)

// samples are files with what only looks like a secret, for tests of what finds them.
var samples = []string{"cmd/cemli/testdata/validate.txtar", "config_test.go", "internal/leaks/leaks.go"}

// repositoryLeaks finds keys and tokens in the files of a folder that are sources.
func repositoryLeaks(t *testing.T, dir string) []leaks.Finding {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, path) {
			return fs.SkipDir
		}
		if err == nil && entry.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err := leaks.Scan(t.Context(), root, names)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A package that held what this repository does would be refused; so is this.
func TestRepositoryHasNoSecrets(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range repositoryLeaks(t, ".") {
		seen[f.File] = true
		if !slices.Contains(samples, f.File) {
			t.Errorf("%s: revoke it, then remove it", f)
		}
	}
	for _, name := range samples {
		if !seen[name] {
			t.Errorf("%s is listed as one with samples, and has none", name)
		}
	}
	// The scan itself finds what it is for.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("url = https://scott"+":tiger@db.example.org/\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if found := repositoryLeaks(t, dir); len(found) != 1 {
		t.Errorf("in a folder with a password: %v", found)
	}
}
