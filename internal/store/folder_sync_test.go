package store

import (
	"slices"
	"strings"
	"testing"
)

// An object that was acknowledged is there after the machine has crashed: its file's name is on disk,
// and so are those of the folders that were made for it.
func TestPutSyncsFolders(t *testing.T) {
	f, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	f.sync = func(dir string) error {
		synced = append(synced, dir)
		return nil
	}
	if _, err := f.Put(t.Context(), "runs/1/result.json", strings.NewReader("{}"), 2, PutOptions{IfNoneMatch: true}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"runs/1", "runs", "."} {
		if !slices.Contains(synced, dir) {
			t.Errorf("%s was not synced: %v", dir, synced)
		}
	}
}
