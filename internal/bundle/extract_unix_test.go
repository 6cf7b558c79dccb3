//go:build unix

package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a folder looks like does not depend on who extracts it.
func TestModesAreTheSameUnderEveryUmask(t *testing.T) {
	archive, err := check(pkg().bytes())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	if _, err := archive.Extract(t.Context(), openRoot(t, dir)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"steps": "drwxr-xr-x", "steps/run.sh": "-rw-r--r--"} {
		if got := tree(t, dir)[name]; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.10s; want %s", name, got, want)
		}
	}
}
