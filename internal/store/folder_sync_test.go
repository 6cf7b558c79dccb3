package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// An acknowledged object survives a crash of the machine: the names of its file and of the folders above it are on
// disk.
func TestPutSyncsFolders(t *testing.T) {
	t.Parallel()
	f, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	f.sync = func(dir string) error {
		synced = append(synced, dir)
		return nil
	}
	_, err = f.Put(t.Context(), "runs/1/result.json", strings.NewReader("{}"), 2, PutOptions{IfNoneMatch: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"runs/1", "runs", "."} {
		if !slices.Contains(synced, dir) {
			t.Errorf("%s was not synced: %v", dir, synced)
		}
	}
}

// Opening the folder removes files that a crash left unfinished, but not those that others are writing.
func TestLeftoversOfACrashGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenFolder(dir); err != nil {
		t.Fatal(err)
	}
	age := map[string]time.Duration{"left": 2 * staging, "new": time.Minute}
	file := func(name string) string { return filepath.Join(dir, private, "tmp", name) }
	for name, age := range age {
		if err := os.WriteFile(file(name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file(name), time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenFolder(dir); err != nil {
		t.Fatal(err)
	}
	for name := range age {
		if _, err := os.Stat(file(name)); (err == nil) != (name == "new") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
