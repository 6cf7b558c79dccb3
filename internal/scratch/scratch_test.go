package scratch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cemli-executor/internal/scratch"
)

func TestWhatACrashLeftIsRemoved(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	old := time.Now().Add(-time.Hour)
	dead := filepath.Join(temp, "cemli-x-dead")
	if err := os.MkdirAll(filepath.Join(dead, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live, removeLive, err := scratch.Dir("cemli-x-")
	if err != nil {
		t.Fatal(err)
	}
	for _, lock := range []string{dead + ".lock", live + ".lock"} {
		if err := os.Chtimes(lock, old, old); err != nil {
			t.Fatal(err)
		}
	}
	mine, remove, err := scratch.Dir("cemli-x-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("what a crash left is still there: %v", err)
	}
	for _, dir := range []string{live, mine} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("a folder in use was removed: %v", err)
		}
	}
	if err := removeLive(); err != nil {
		t.Error(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
